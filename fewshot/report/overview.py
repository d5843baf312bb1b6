"""Several runs on one page: their results, validation curves and the options in which they differ."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from fewshot.report.charts import Line, line_chart
from fewshot.report.cost import duration
from fewshot.report.learning_curves import TITLES
from fewshot.report.markup import Markup, join, paragraph, table, tag
from fewshot.report.page import page
from fewshot.report.results import headline, interval
from fewshot.report.run_files import Result, RunFiles
from fewshot.report.section import LeftOut, section
from fewshot.report.what_was_run import Command

LINES = 6
"""Runs in one chart at most."""


def overview_page(
    runs: Sequence[RunFiles], commands: Sequence[Command | None], pages: Sequence[Path], at: Path
) -> str:
    """The overview.

    Args:
        runs: in the order in which they were named.
        commands: of each.
        pages: of each, to link to.
        at: where the overview will lie.
    """
    # The colon of a name like `a:b.html` would make a link a scheme; quoting leaves none.
    links = [quote(Path(os.path.relpath(path, at.parent)).as_posix()) for path in pages]
    sections = [
        section("Runs", lambda: _runs(runs, links)),
        section("The same evaluations", lambda: _shared(runs)),
        section("Validation", lambda: _validation(runs)),
        section("Options that differ", lambda: _differences(runs, commands)),
    ]
    problems = [f"{run.name}: {problem}" for run in runs for problem in run.problems]
    return page(
        "Overview",
        f"{len(runs)} runs",
        paragraph("One row a run; each links to its report."),
        sections,
        problems,
    )


def _runs(runs: Sequence[RunFiles], links: Sequence[str]) -> Markup:
    rows = []
    for run, link in zip(runs, links, strict=True):
        try:
            told = headline(run.results[-1]) if run.results else "not evaluated yet"
        except (KeyError, TypeError, ValueError, StopIteration, AttributeError):
            told = "damaged"
        seconds = run.record.get("seconds")
        took = duration(seconds) if isinstance(seconds, (int, float)) else "-"
        status = str(run.record.get("status", "unknown"))
        rows.append((tag("a", run.name, href=link), told, run.recipe, took, status))
    return table(("run", "newest evaluation", "recipe", "training", "status"), rows, "Runs", headed=True)


def _shared(runs: Sequence[RunFiles]) -> Markup:
    by_name: dict[str, dict[int, Result]] = {}
    for number, run in enumerate(runs):
        for result in run.results:
            by_name.setdefault(result.folder.name, {})[number] = result
    parts: list[Markup] = []
    for name, found in by_name.items():
        if len(found) > 1:
            parts.append(_table(name, runs, found))
    if not parts:
        raise LeftOut("no two of the runs were evaluated in the same way")
    told = (
        "Intervals are of each run alone; where two overlap, only the paired difference over the same test "
        "images tells the runs apart."
    )
    return join((*parts, paragraph(told)))


def _table(name: str, runs: Sequence[RunFiles], found: Mapping[int, Result]) -> Markup:
    rows = [(runs[number].name, *_figures(result)) for number, result in found.items()]
    width = max(len(row) for row in rows)
    first = next(iter(found.values()))
    heads = {
        "few_shot": [f"{p['shots']}-shot" for p in first.summary.get("curve", [])],
        "retrieval": [key.replace("recall", "Recall") for key in first.summary.get("measures", {})],
        "continual": ["task-incremental, final average", "class-incremental, final average"],
    }.get(first.kind, [])
    sums = {r.summary.get("testbed_sha256") or r.summary.get("queries_sha256") for r in found.values()}
    same = ""
    if None not in sums:
        same = ": the same test images" if len(sums) == 1 else ": NOT the same test images, not comparable"
    padded = [(*row, *[""] * (width - len(row))) for row in rows]
    return table(("run", *heads, *[""] * (width - 1 - len(heads))), padded, caption=f"{name}{same}")


def _figures(result: Result) -> list[str]:
    summary = result.summary
    if result.kind == "few_shot":
        return [interval(point["accuracy"], point["interval"]) for point in summary["curve"]]
    if result.kind == "retrieval":
        return [interval(found["mean"], found["interval"]) for found in summary["measures"].values()]
    kinds = ("task_incremental", "class_incremental")
    return [f"{100 * summary[kind]['final_average']:.2f} %" for kind in kinds]


def _validation(runs: Sequence[RunFiles]) -> Markup:
    keys = [key for run in runs for line in run.metrics for key in line if key.startswith("val/")]
    with_it = {
        key: sum(any(key in line for line in run.metrics) for run in runs) for key in dict.fromkeys(keys)
    }
    shared = [key for key, count in with_it.items() if count > 1 and not key.endswith("interval")]
    if not shared:
        raise LeftOut("no two of the runs were validated by the same figure")
    charts = []
    for key in shared[:4]:
        lines = []
        for run in runs:
            points = [(float(m["step"]), 100 * float(m[key])) for m in run.metrics if m.get(key) is not None]
            if points:
                lines.append(Line(run.name, points, marked=len(points) <= 40))
        if lines:
            charts.append(
                line_chart(TITLES.get(key, key.removeprefix("val/")), lines[:LINES], "step", "per cent")
            )
    told = (
        f"At most {LINES} runs a chart, in the order in which they were named." if len(runs) > LINES else ""
    )
    return join((tag("div", *charts, class_="pair"), paragraph(told)))


def _differences(runs: Sequence[RunFiles], commands: Sequence[Command | None]) -> Markup:
    if any(command is None for command in commands):
        raise LeftOut("the config of a run is missing or damaged")
    known = [{key: value for key, value, _ in command.differences} for command in commands if command]
    defaults = {key: default for command in commands if command for key, _, default in command.differences}
    rows: list[tuple[object, ...]] = []
    chosen = [run.config.get("choices") or {} for run in runs]
    for group in dict.fromkeys(group for choices in chosen for group in choices):
        picked = [str(choices.get(group, "none")) for choices in chosen]
        if len(set(picked)) > 1:
            rows.append((tag("b", group), *picked))
    for key, default in defaults.items():
        values = [of.get(key, default) for of in known]
        if len(set(values)) > 1:
            rows.append((tag("code", key), *(tag("code", value) for value in values)))
    if not rows:
        raise LeftOut("their options are the same")
    return table(("option", *(run.name for run in runs)), rows, "Options that differ", headed=True)
