"""Tables of many runs: every row trained alike, compared on the same episodes, resumable at any point.

A table is a YAML file, `conf/table/NAME.yaml`:

    title, cost: text
    seeds: [0, 1, 2]
    baseline: the row that the others are compared with
    settings: {NAME: {train: [overrides of train.py], evaluate: {LABEL: [overrides of eval.py]}}}
    rows: {NAME: [further overrides of train.py]}
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from fewshot.errors import InputError
from fewshot.evaluation.intervals import Interval, mean_interval, paired_difference, seed_interval
from fewshot.evaluation.result_files import SUMMARY, SavedResult, read_result
from fewshot.recipes.run_record import read_record
from fewshot.whole_file import write_whole

Run = Callable[[str, Sequence[str]], None]
"""Runs `train` or `eval` with overrides, and raises if it fails."""


@dataclass(frozen=True)
class Cell:
    """One model to train: a row of the table in one setting with one seed.

    Attributes:
        train, further: overrides of train.py, those of the setting and those of the row.
        evaluate: label -> overrides of eval.py.
    """

    setting: str
    row: str
    seed: int
    train: tuple[str, ...]
    further: tuple[str, ...]
    evaluate: dict[str, tuple[str, ...]]

    @property
    def words(self) -> tuple[str, ...]:
        """All overrides of its training."""
        return (*self.train, *self.further, f"seed={self.seed}")

    def folder(self, output: Path) -> Path:
        """Where the runs of this cell are; runs are found again by it."""
        name = re.sub(r"[^\w.+-]+", "-", f"{self.setting}_{self.row}")
        return output / f"{name}_seed{self.seed}"


@dataclass(frozen=True)
class Table:
    """A table as its file says."""

    name: str
    title: str
    cost: str
    baseline: str
    rows: tuple[str, ...]
    cells: tuple[Cell, ...]

    @classmethod
    def read(cls, path: Path) -> Table:
        """Read `conf/table/NAME.yaml`.

        Raises:
            InputError: no such file, or a key is missing.
        """
        if not path.is_file():
            known = sorted(other.stem for other in path.parent.glob("*.yaml"))
            raise InputError(f"there is no table {path.stem}; the tables are {', '.join(known)}")
        try:
            spec: Any = OmegaConf.to_container(OmegaConf.load(path))
        except (OSError, YAMLError, OmegaConfBaseException) as problem:
            raise InputError(f"table {path.stem}: {path} cannot be read: {problem}") from problem
        try:
            cells = tuple(
                Cell(
                    setting,
                    row,
                    seed,
                    tuple(chosen["train"]),
                    tuple(overrides),
                    {label: tuple(words) for label, words in chosen["evaluate"].items()},
                )
                for seed in spec["seeds"]
                for setting, chosen in spec["settings"].items()
                for row, overrides in spec["rows"].items()
            )
            rows = tuple(spec["rows"])
            if spec["baseline"] not in rows:
                raise InputError(f"table {path.stem}: the baseline {spec['baseline']} is not a row")
            return cls(path.stem, spec["title"], spec["cost"], spec["baseline"], rows, cells)
        except (KeyError, TypeError, AttributeError) as problem:
            raise InputError(f"table {path.stem}: {path} lacks or misuses {problem}") from problem


def fill(table: Table, output: Path, run: Run, further: Sequence[str] = ()) -> None:
    """Train and evaluate what is not there yet; a run that was stopped goes on where it was.

    Args:
        table: what to fill.
        output: folder of the runs.
        run: runs `train` or `eval`.
        further: overrides of every training, such as `threads=1`.
    """
    for cell in table.cells:
        folder = cell.folder(output)
        finished, resumable = _runs(folder)
        if finished is None:
            if resumable:
                # A run that goes on keeps its settings; where it computes is said anew.
                where = [word for word in further if word.startswith(("device=", "threads="))]
                run("train", [f"resume={resumable}", *where])
            else:
                run("train", [*cell.words, *further, f"output_dir={folder}"])
            finished, _ = _runs(folder)
        for words in cell.evaluate.values():
            if _result(finished, words) is None:
                run("eval", [f"run={finished}", *words])
                _remember(finished, words)


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
    found = {(cell.row, cell.seed): _result(_runs(cell.folder(output))[0], words) for cell in cells}
    seeds = sorted({cell.seed for cell in cells})
    lines = [
        f"| row | accuracy, % | difference to {table.baseline}, points | seeds | training, s |",
        "|---|---|---|---|---|",
    ]
    for row in table.rows:
        results = {seed: result for seed in seeds if (result := found[row, seed]) is not None}
        if not results:
            lines.append(f"| {row} | not run yet | | | |")
            continue
        baseline = {seed: found[table.baseline, seed] for seed in results}
        pairs = [(results[s], base) for s, base in baseline.items() if base is not None]
        difference = "" if row == table.baseline or not pairs else str(_difference(pairs))
        seconds = [
            _seconds(cell.folder(output)) for cell in cells if cell.row == row and cell.seed in results
        ]
        lines.append(
            f"| {row} | {_accuracy(list(results.values()))} | {difference} | "
            f"{', '.join(map(str, results))} | {np.mean(seconds):.0f} |"
        )
    sample = next((result for result in found.values() if result is not None), None)
    if sample is not None:
        summary = sample.summary
        lines += [
            "",
            f"{summary['episodes']:,} episodes, testbed seed {summary['testbed_seed']}, sha256 "
            f"{summary['testbed_sha256'][:12]}; {summary['machine']['device']}, "
            f"{summary['machine']['threads']} thread, torch {summary['machine']['torch']}. Intervals: 95%, "
            + (
                "over seeds (t); of a row with one seed, over episodes."
                if len(seeds) > 1
                else "over episodes, of one seed (differences paired)."
            ),
        ]
    return [*lines, ""]


def _accuracy(results: list[SavedResult]) -> Interval:
    if len(results) == 1:
        return mean_interval(results[0].accuracies[-1])
    return seed_interval([float(result.accuracies[-1].mean()) for result in results])


def _difference(pairs: list[tuple[SavedResult, SavedResult]]) -> Interval:
    for ours, theirs in pairs:
        if ours.summary["testbed_sha256"] != theirs.summary["testbed_sha256"]:
            raise InputError(
                "two results of the table are on different testbeds; delete one and run it again"
            )
    if len(pairs) == 1:
        return paired_difference(pairs[0][0].accuracies[-1], pairs[0][1].accuracies[-1])
    return seed_interval([float((a.accuracies[-1] - b.accuracies[-1]).mean()) for a, b in pairs])


def _runs(folder: Path) -> tuple[Path | None, Path | None]:
    """The finished run below a folder, and the one that can go on."""
    finished = resumable = None
    for run in sorted(path for path in folder.glob("*") if path.is_dir()):
        record = read_record(run)
        if record.get("status") == "finished":
            finished = run
        elif (run / "last.pt").exists():
            resumable = run
    return finished, resumable


def _seconds(folder: Path) -> float:
    finished, _ = _runs(folder)
    return float(read_record(finished).get("seconds", 0.0)) if finished else 0.0


def _index(run: Path) -> dict[str, str]:
    path = run / "eval" / "table.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _remember(run: Path | None, words: tuple[str, ...]) -> None:
    """Note which result the overrides made: the newest."""
    assert run is not None
    newest = max((run / "eval").glob("*/result.json"), key=lambda path: path.stat().st_mtime_ns)
    index = {**_index(run), " ".join(words): newest.parent.name}
    write_whole(run / "eval" / "table.json", json.dumps(index, indent=2))


def _result(run: Path | None, words: tuple[str, ...]) -> SavedResult | None:
    if run is None or " ".join(words) not in (index := _index(run)):
        return None
    folder = run / "eval" / index[" ".join(words)]
    # A result that was deleted is one to make again.
    return read_result(folder) if (folder / SUMMARY).is_file() else None
