"""Tables of many runs: every row trained alike, compared on the same episodes, resumable at any point.

A table is a YAML file, `conf/table/NAME.yaml`:

    title, cost: text
    seeds: [0, 1, 2]
    baseline: the row that the others are compared with, or {ROW: the row that it is compared with}
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

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from fewshot.errors import InputError
from fewshot.evaluation.result_files import SUMMARY
from fewshot.recipes.run_record import read_record
from fewshot.whole_file import write_whole

WORDS = "words.txt"
"""With which a row's run was made, in its folder."""

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
    """A table as its file says.

    Attributes:
        baselines: row -> the row that it is compared with; rows that are compared with none are absent.
    """

    name: str
    title: str
    cost: str
    baselines: dict[str, str]
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
            given = spec["baseline"]
            baselines = given if isinstance(given, dict) else {r: given for r in rows if r != given}
            for row in (*baselines.values(), *baselines):
                if row not in rows:
                    raise InputError(f"table {path.stem}: the baseline {row} is not a row")
            return cls(path.stem, spec["title"], spec["cost"], baselines, rows, cells)
        except (KeyError, TypeError, AttributeError) as problem:
            raise InputError(f"table {path.stem}: {path} lacks or misuses {problem}") from problem


def fill(table: Table, output: Path, run: Run, further: Sequence[str] = ()) -> None:
    """Train and evaluate what is not there yet; a run that was stopped goes on where it was.

    Args:
        table: what to fill.
        output: folder of the runs.
        run: runs `train` or `eval`.
        further: overrides of every training, such as `threads=1`.

    Raises:
        InputError: the table's file says something else of a row than when its run was made.
    """
    for cell in table.cells:
        folder = cell.folder(output)
        finished, resumable = runs_below(folder)
        _refuse_others(cell, folder)
        if finished is None:
            if resumable:
                # A run that goes on keeps its settings; where it computes is said anew.
                where = [word for word in further if word.startswith(("device=", "threads="))]
                run("train", [f"resume={resumable}", *where])
            else:
                folder.mkdir(parents=True, exist_ok=True)
                write_whole(folder / WORDS, " ".join(cell.words) + "\n")
                run("train", [*cell.words, *further, f"output_dir={folder}"])
            finished, _ = runs_below(folder)
        for words in cell.evaluate.values():
            if result_folder(finished, words) is None:
                run("eval", [f"run={finished}", *words])
                _remember(finished, words)


def _refuse_others(cell: Cell, folder: Path) -> None:
    path, words = folder / WORDS, " ".join(cell.words)
    if path.is_file() and (before := path.read_text(encoding="utf-8").strip()) != words:
        raise InputError(
            f"row {cell.row}: {folder} was trained with '{before}', but the table now says '{words}'; "
            "delete the folder to train it anew"
        )


def runs_below(folder: Path) -> tuple[Path | None, Path | None]:
    """The finished run below a folder, and the one that can go on."""
    finished = resumable = None
    for run in sorted(path for path in folder.glob("*") if path.is_dir()):
        record = read_record(run)
        if record.get("status") == "finished":
            finished = run
        elif (run / "last.pt").exists():
            resumable = run
    return finished, resumable


def result_folder(run: Path | None, words: tuple[str, ...]) -> Path | None:
    """Where the result that the overrides made of a run lies; None if it was not made, or was deleted."""
    if run is None or " ".join(words) not in (index := _index(run)):
        return None
    folder = run / "eval" / index[" ".join(words)]
    return folder if (folder / SUMMARY).is_file() else None


def _index(run: Path) -> dict[str, str]:
    path = run / "eval" / "table.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _remember(run: Path | None, words: tuple[str, ...]) -> None:
    """Note which result the overrides made: the newest."""
    assert run is not None
    newest = max((run / "eval").glob("*/result.json"), key=lambda path: path.stat().st_mtime_ns)
    index = {**_index(run), " ".join(words): newest.parent.name}
    write_whole(run / "eval" / "table.json", json.dumps(index, indent=2))
