"""A run's report: its files read, its images opened again, its page written."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewshot.cli.command_of_config import command_line, words_and_differences
from fewshot.cli.conf_folder import ConfFolder
from fewshot.errors import InputError
from fewshot.whole_file import write_whole

if TYPE_CHECKING:
    from fewshot.evaluation.evaluated_images import EvaluatedImages
    from fewshot.report.run_files import RunFiles
    from fewshot.report.what_was_run import Command

PAGE = "report.html"


def write_report(folder: Path, page: Path | None = None) -> tuple[Path, RunFiles, Command | None]:
    """Write the page of one run.

    Args:
        folder: of the run.
        page: where it goes; None: `report.html` in the run's folder.

    Returns:
        where it is, and what it was made from.

    Raises:
        InputError: the folder is no run, or the page cannot be written.
    """
    from fewshot.report.page import run_page
    from fewshot.report.run_files import read_run

    run = read_run(folder)
    command = command_of(run.config)
    page = page or folder / PAGE
    write_page(page, run_page(run, command, _images(run)))
    return page, run, command


def write_page(path: Path, text: str) -> None:
    """Write a page, whole or not at all.

    Raises:
        InputError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}; choose output=DIR") from error


def command_of(config: dict[str, Any]) -> Command | None:
    """What makes a config; None if it is missing or damaged."""
    from fewshot.report.what_was_run import Command

    if not isinstance(config.get("choices"), dict):
        return None
    try:
        words, differences = words_and_differences(config, ConfFolder.found())
    except (InputError, TypeError, AttributeError, ValueError):
        return None
    return Command(command_line(words), tuple(differences))


def report_at_the_end(made: object) -> None:
    """Write the report of what a recipe has made; a report that fails is one line and fails nothing.

    Args:
        made: the run's folder of a training, or the result.json of an evaluation.
    """
    if not isinstance(made, Path):
        return
    folder = made if made.is_dir() else made.parents[2]
    try:
        page = write_report(folder)[0]
    except Exception as error:
        said = (str(error).strip().splitlines() or [""])[0]
        print(f"report: not written ({type(error).__name__}: {said})", file=sys.stderr)
    else:
        print(f"report     {page}")


def _images(run: RunFiles) -> EvaluatedImages | str:
    """The images of the newest evaluation, or one line on why they are not at hand."""
    from fewshot.recipes.evaluated import evaluated_images

    summary = run.results[-1].summary if run.results else None
    try:
        return evaluated_images(run.folder, summary)
    except InputError as error:
        return str(error)
    # Whatever a damaged result or a model of another version leads to: the rest of the page stands.
    except Exception as error:
        said = (str(error).strip().splitlines() or [""])[0]
        return f"its images cannot be opened again ({type(error).__name__}: {said})"
