"""The pages: one for each run, and one that holds several against each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fewshot.evaluation.evaluated_images import EvaluatedImages
from fewshot.report.calibration import calibration
from fewshot.report.confusion import confusion
from fewshot.report.cost import cost
from fewshot.report.embedding_pictures import class_likeness, embedding_map, neighbours
from fewshot.report.hardest_episodes import hardest_episodes
from fewshot.report.learning_curves import learning_curves
from fewshot.report.markup import NOTHING, Markup, join, paragraph, tag
from fewshot.report.results import headline, results, shot_curve
from fewshot.report.run_files import Result, RunFiles
from fewshot.report.section import Section, section
from fewshot.report.streams import accuracy_matrices, sessions
from fewshot.report.what_was_run import Command, what_was_run

_STYLE = Path(__file__).with_name("style.css")
# Nothing may be fetched and no script run, whatever a name or a file holds.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def run_page(run: RunFiles, command: Command | None, images: EvaluatedImages | str) -> str:
    """The report of one run.

    Args:
        run: its files.
        command: what makes its config; None if unknown.
        images: of its newest evaluation (without one: of the classes that chose its weights), or why there
            are none.
    """
    shown = run.results[-1] if run.results else None
    stream = run.recipe == "continual"
    sections = [
        section("What was run", lambda: what_was_run(run, command)),
        section("Results", lambda: results(run)),
        section("Learning curves", lambda: learning_curves(run)),
        *(
            [
                section("Accuracy by task", lambda: accuracy_matrices(run)),
                section("Sessions", lambda: sessions(_of_kind(run, "continual"))),
            ]
            if stream
            else []
        ),
        *(
            [section("Shot curve", lambda: shot_curve(shown))]
            if shown is not None and shown.kind == "few_shot"
            else []
        ),
        section("Classes", lambda: confusion(shown)),
        section("Hardest episodes", lambda: hardest_episodes(shown, images)),
        section("Nearest neighbours", lambda: neighbours(images)),
        section("Map of the embeddings", lambda: embedding_map(images)),
        section("Likeness of classes", lambda: class_likeness(images)),
        section("Calibration", lambda: calibration(shown, images)),
        section("Time and memory", lambda: cost(run)),
    ]
    lead = _headline(shown)
    if shown is not None and len(run.results) > 1:
        of = f"Pictures are of its newest evaluation, {shown.folder.name}."
        lead = join((lead, tag("p", of, class_="note")))
    return page(run.name, f"Run {run.name}", lead, sections, run.problems)


def page(title: str, heading: str, lead: Markup, sections: Sequence[Section], problems: Sequence[str]) -> str:
    """A whole page: its sections, and one line on each that is left out and each file that is damaged."""
    there = [part for part in sections if part.body is not None]
    links = tag("ul", *(tag("li", tag("a", part.title, href=f"#{part.anchor}")) for part in there))
    out = [tag("li", tag("b", part.title), f": {part.why}") for part in sections if part.body is None]
    out += [tag("li", tag("b", "File"), f": {problem}") for problem in problems]
    left = Section("Left out", tag("ul", *out)) if out else None
    head = join(
        (
            Markup('<meta charset="utf-8">'),
            tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
            tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
            tag("title", f"{title} · fewshot report"),
            tag("style", Markup(_STYLE.read_text(encoding="utf-8"))),
        ),
        "\n",
    )
    body = tag(
        "main",
        tag("header", tag("h1", heading), lead, tag("nav", links, aria_label="Sections")),
        *(part.html() for part in there),
        left.html() if left is not None else NOTHING,
    )
    # A lone surrogate in a name cannot be written as UTF-8.
    whole = f'<!DOCTYPE html>\n<html lang="en"><head>\n{head}\n</head>\n{tag("body", body)}</html>\n'
    return whole.encode("utf-8", "replace").decode("utf-8")


def _headline(shown: Result | None) -> Markup:
    if shown is None:
        return tag("p", "Not evaluated yet.", class_="lead")
    try:
        return tag("p", headline(shown), class_="lead")
    except (KeyError, TypeError, ValueError, StopIteration, AttributeError):
        return paragraph("The figures of its newest evaluation are damaged.")


def _of_kind(run: RunFiles, kind: str) -> Result | None:
    found = [result for result in run.results if result.kind == kind]
    return found[-1] if found else None
