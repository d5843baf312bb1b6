"""All runs below a folder in one table: what they differ in, their validation, and every evaluation."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fewshot.errors import InputError
from fewshot.evaluation.intervals import Interval, mean_interval
from fewshot.recipes.run_differences import choices_of, differences, settings_of, shown
from fewshot.recipes.run_record import CONFIG, RECORD, load_config, read_record
from fewshot.recipes.saved_result import values_of_run
from fewshot.recipes.sweep_objective import validation_of
from fewshot.suggestion import did_you_mean

VALIDATION = "validation, %"
_DRAWN = re.compile(r"-?\d+\.\d{6,}(e-?\d+)?")
"""A number that nobody typed."""

Cell = str | float | Interval | None


@dataclass(frozen=True)
class Summary:
    """A table of runs.

    Attributes:
        columns: titles; the first is the run.
        rows: a cell for each column; None where a run has nothing.
        sorted_by: title of the column that they are sorted by.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    sorted_by: str


def summarise(folder: Path, sort: str | None = None) -> Summary:
    """The runs below a folder, the best validation first.

    Args:
        folder: of runs, at any depth.
        sort: part of the title of another column to sort by; figures descend, text ascends.

    Raises:
        InputError: there are no runs, no such column, or an evaluation is damaged.
    """
    runs = sorted(path.parent for path in folder.glob(f"**/{RECORD}") if (path.parent / CONFIG).is_file())
    if not runs:
        raise InputError(f"summary: there is no run below {folder}; a sweep writes to output_dir=FOLDER")
    configs = [load_config(run) for run in runs]
    settings = [{**settings_of(c), "seed": c.get("seed")} for c in configs]
    told = differences(settings, [choices_of(config) for config in configs])
    cells: list[dict[str, Cell]] = []
    for run, own in zip(runs, told, strict=True):
        row: dict[str, Cell] = {"run": run.relative_to(folder).as_posix() if run != folder else run.name}
        row |= {key: shown(value) for key, value in own.items()}
        validation = validation_of(run)
        row[VALIDATION] = None if validation is None else 100 * validation
        record = read_record(run)
        row["status"] = str(record.get("status", "unknown"))
        seconds = record.get("seconds")
        row["training, s"] = float(seconds) if isinstance(seconds, (int, float)) else None
        cells.append(row)
    keys = dict.fromkeys(key for own in told for key in own)
    figures = _evaluations(runs, cells)
    columns = ("run", *keys, VALIDATION, *figures, "training, s", "status")
    by = _column(columns, sort)
    cells.sort(key=lambda row: _order(row.get(by)))
    return Summary(columns, tuple(tuple(row.get(c) for c in columns) for row in cells), by)


def _evaluations(runs: Sequence[Path], cells: list[dict[str, Cell]]) -> list[str]:
    """Add the figures of every evaluation to the rows; the titles, short where all have one setting."""
    results = [values_of_run(run) for run in runs]
    settings = {found.setting: found.folder.name for several in results for found in several}
    titles: dict[str, None] = {}
    for row, several in zip(cells, results, strict=True):
        for found in several:
            for name, values in found.figures.items():
                title = f"{name}, %" if len(settings) == 1 else f"{name} of {settings[found.setting]}, %"
                row[title] = mean_interval(values)
                titles[title] = None
    return list(titles)


def _column(columns: Sequence[str], sort: str | None) -> str:
    if sort is None:
        return VALIDATION
    exact = [column for column in columns if column == sort]
    found = exact or [column for column in columns if sort in column]
    if len(found) != 1:
        said = "several columns have" if found else "no column has"
        near = did_you_mean(sort, columns)
        raise InputError(f"summary: {said} '{sort}' in the title; they are {'; '.join(columns)}{near}")
    return found[0]


def _order(cell: Cell) -> tuple[int, float, str]:
    if isinstance(cell, Interval):
        cell = cell.mean
    if isinstance(cell, str):
        try:
            return 1, float(cell), ""
        except ValueError:
            return 1, math.inf, cell
    return (2, 0.0, "") if cell is None else (0, -cell, "")


def markdown(summary: Summary) -> str:
    """The table in Markdown, with a line on what it is sorted by."""
    lines = [f"| {' | '.join(map(_safe, summary.columns))} |", "|---" * len(summary.columns) + "|"]
    lines += [f"| {' | '.join(_safe(_shown(cell)) for cell in row)} |" for row in summary.rows]
    lines += [
        "",
        f"{len(summary.rows)} runs, sorted by {summary.sorted_by}. Validation is what options are chosen by; "
        "evaluations, with 95% intervals over their episodes (queries, tasks), are for the chosen one.",
    ]
    return "\n".join(lines) + "\n"


def csv_rows(summary: Summary) -> list[list[str]]:
    """The table for a spreadsheet: figures in percent without their intervals, dot and no separators."""
    rows = [[_plain(cell) for cell in row] for row in summary.rows]
    return [list(summary.columns), *rows]


def _shown(cell: Cell) -> str:
    if isinstance(cell, str) and _DRAWN.fullmatch(cell):
        return f"{float(cell):.5g}"
    return f"{cell:.2f}" if isinstance(cell, float) else "" if cell is None else str(cell)


def _plain(cell: Cell) -> str:
    return repr(100 * cell.mean) if isinstance(cell, Interval) else "" if cell is None else str(cell)


def _safe(text: str) -> str:
    return text.replace("|", "\\|")
