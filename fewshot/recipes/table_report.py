"""A table of many runs in Markdown: means, intervals and paired differences, row by row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewshot.continual.measures import backward_transfer_of_tasks, forgetting_of_tasks
from fewshot.errors import InputError
from fewshot.evaluation.intervals import Interval, mean_interval, paired_difference, seed_interval
from fewshot.evaluation.result_files import read_result, read_summary_and_arrays
from fewshot.evaluation.retrieval_result import read_retrieval
from fewshot.recipes.continual_result import ARRAYS
from fewshot.recipes.run_record import read_record
from fewshot.recipes.table import Cell, Table, result_folder, runs_below


@dataclass(frozen=True)
class Result:
    """What a table shows of one result.

    Attributes:
        summary: what result.json holds.
        compared: float64 [n], the value of each episode or query, by which rows are compared.
        on: what the values were measured on; only results with the same one are compared.
        further: column -> float64 [n], whose mean is shown with its interval, or a single figure.
    """

    summary: dict[str, Any]
    compared: NDArray[np.float64]
    on: str
    further: dict[str, NDArray[np.float64] | float]


@dataclass(frozen=True)
class Kind:
    """How results of one kind are shown.

    Attributes:
        compared: title of the column that rows are compared by.
        further: titles of the columns after the difference.
        unit: what a value is of: episodes, queries.
        ground: what two results must share to be compared: testbeds, queries.
        read: a result from its folder.
        note: what was evaluated on, in words.
    """

    compared: str
    further: tuple[str, ...]
    unit: str
    ground: str
    read: Callable[[Path], Result]
    note: Callable[[dict[str, Any]], str]


def report(table: Table, output: Path) -> str:
    """The table in Markdown; cells that were not run yet say so."""
    lines = [f"## {table.title}", "", f"`make table NAME={table.name}`. Cost: {table.cost}.", ""]
    settings = dict.fromkeys(cell.setting for cell in table.cells)
    for setting in settings:
        cells = [cell for cell in table.cells if cell.setting == setting]
        for label in cells[0].evaluate:
            words = cells[0].evaluate[label]
            lines += [f"### {setting}, {label}", "", f"Trained with `{' '.join(cells[0].train)}`.", ""]
            lines += _section(table, cells, words, output)
    return "\n".join(lines) + "\n"


def _section(table: Table, cells: list[Cell], words: tuple[str, ...], output: Path) -> list[str]:
    kind = next((kind for word, kind in KINDS.items() if word in words), FEW_SHOT)
    found = {
        (cell.row, cell.seed): kind.read(folder)
        for cell in cells
        if (folder := result_folder(runs_below(cell.folder(output))[0], words)) is not None
    }
    seeds = sorted({cell.seed for cell in cells})
    bases = set(table.baselines.values())
    (base,) = bases if len(bases) == 1 else ("",)
    difference = f"difference to {base}" if base else "difference"
    titles = ["row", f"{kind.compared}, %", f"{difference}, points", *kind.further, "seeds", "training, s"]
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for row in table.rows:
        results = {seed: found[row, seed] for seed in seeds if (row, seed) in found}
        if not results:
            lines.append(f"| {row} | not run yet |" + " |" * (len(titles) - 2))
            continue
        against = table.baselines.get(row)
        pairs = [(results[s], found[against, s]) for s in results if against and (against, s) in found]
        compared = f"{_difference(pairs, kind)}" + ("" if base else f" to {against}") if pairs else ""
        further = [
            _mean([result.further.get(title) for result in results.values()]) for title in kind.further
        ]
        seconds = [
            _seconds(cell.folder(output)) for cell in cells if cell.row == row and cell.seed in results
        ]
        shown = [
            row,
            str(_mean([result.compared for result in results.values()])),
            compared,
            *further,
            ", ".join(map(str, results)),
            f"{np.mean(seconds):.0f}",
        ]
        lines.append(f"| {' | '.join(shown)} |")
    sample = next(iter(found.values()), None)
    if sample is not None:
        machine = sample.summary["machine"]
        lines += [
            "",
            f"{kind.note(sample.summary)}; {machine['device']}, {machine['threads']} thread, "
            f"torch {machine['torch']}. Intervals: 95%, "
            + (
                f"over seeds (t); of a row with one seed, over {kind.unit}."
                if len(seeds) > 1
                else f"over {kind.unit}, of one seed (differences paired)."
            ),
        ]
    return [*lines, ""]


def _mean(values: list[NDArray[np.float64] | float | None]) -> str:
    """Over seeds: shares in percent with their interval, single figures as they are."""
    arrays = [value for value in values if isinstance(value, np.ndarray)]
    figures = [value for value in values if isinstance(value, float)]
    if len(arrays) == 1:
        return str(mean_interval(arrays[0]))
    if arrays:
        return str(seed_interval([float(array.mean()) for array in arrays]))
    return f"{sum(figures) / len(figures):.4f}" if figures else ""


def _difference(pairs: list[tuple[Result, Result]], kind: Kind) -> Interval:
    for ours, theirs in pairs:
        if ours.on != theirs.on:
            raise InputError(
                f"two results of the table are on different {kind.ground}; delete one and run it again"
            )
    if len(pairs) == 1:
        return paired_difference(pairs[0][0].compared, pairs[0][1].compared)
    return seed_interval([float((ours.compared - theirs.compared).mean()) for ours, theirs in pairs])


def _seconds(folder: Path) -> float:
    finished, _ = runs_below(folder)
    return float(read_record(finished).get("seconds", 0.0)) if finished else 0.0


def _few_shot(folder: Path) -> Result:
    saved = read_result(folder)
    return Result(saved.summary, saved.accuracies[-1], saved.summary["testbed_sha256"], {})


def _testbed(summary: dict[str, Any]) -> str:
    return (
        f"{summary['episodes']:,} episodes, testbed seed {summary['testbed_seed']}, "
        f"sha256 {summary['testbed_sha256'][:12]}"
    )


FEW_SHOT = Kind("accuracy", (), "episodes", "testbeds", _few_shot, _testbed)


def _retrieval(folder: Path) -> Result:
    saved = read_retrieval(folder)
    summary, found = saved.summary, saved.retrieval
    single = {
        key: float(value)
        for key in ("utilization", "alignment", "uniformity")
        if (value := summary.get(key)) is not None
    }
    recall = (found.ranks == 1).astype(np.float64)
    on = f"{summary['images']['pack']} {summary['similarity']} {summary['queries_sha256']}"
    return Result(summary, recall, on, {"MAP@R, %": found.map_at_r, **single})


def _queries(summary: dict[str, Any]) -> str:
    return (
        f"{summary['queries']:,} queries among {summary['gallery']:,} images by {summary['similarity']}, "
        f"sha256 {summary['queries_sha256'][:12]}; utilization, alignment and uniformity: lower is better"
    )


RETRIEVAL = Kind(
    "R@1",
    ("MAP@R, %", "utilization", "alignment", "uniformity"),
    "queries",
    "queries",
    _retrieval,
    _queries,
)


def _stream(folder: Path) -> Result:
    summary, (til, cil) = read_summary_and_arrays(folder, ARRAYS, ("task_incremental", "class_incremental"))
    a = til if summary["predict"] == "task_incremental" else cil
    further: dict[str, NDArray[np.float64] | float] = {"learning accuracy, %": np.diagonal(a).copy()}
    if len(a) > 1:
        further["forgetting, points"] = forgetting_of_tasks(a)
        further["BWT, points"] = backward_transfer_of_tasks(a)
    further["kept, MB"] = summary["cost"]["kept_bytes"] / 1e6
    on = f"{summary['evaluated']} {summary['scenario']['sha256']}"
    return Result(summary, a[-1].copy(), on, further)


def _tasks(summary: dict[str, Any]) -> str:
    sizes = summary["scenario"]["tasks"]
    return (
        f"{len(sizes)} tasks of {'/'.join(map(str, dict.fromkeys(sizes)))} classes, "
        f"{summary['evaluated']} images, stream sha256 {summary['scenario']['sha256'][:12]}; kept: what a "
        "method holds beside its encoder and projector"
    )


CONTINUAL = Kind(
    "final average",
    ("forgetting, points", "BWT, points", "learning accuracy, %", "kept, MB"),
    "tasks",
    "streams",
    _stream,
    _tasks,
)

KINDS = {"evaluation=retrieval": RETRIEVAL, "evaluation=continual": CONTINUAL}
"""By the word of eval.py that chooses them."""
