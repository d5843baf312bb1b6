"""Accuracy on each task after each task: the table that all measures of continual learning are taken from."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fewshot.errors import InputError
from fewshot.whole_file import write_whole

KINDS = ("task_incremental", "class_incremental")
"""Prediction among the classes of the image's own task (TIL), or among all classes seen so far (CIL)."""


@dataclass(frozen=True, eq=False)
class AccuracyMatrix:
    """a[i, j], the accuracy on task j after task i was learned.

    Attributes:
        accuracy: float64 [tasks, tasks]; nan where it was not measured. Above the diagonal lie tasks not yet
            seen: only the coming one is measured, task-incrementally, for forward transfer.
        images: int64 [tasks], evaluated images of each task.
        names: of the tasks.
    """

    accuracy: NDArray[np.float64]
    images: NDArray[np.int64]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        tasks = len(self.names)
        if self.accuracy.shape != (tasks, tasks) or self.images.shape != (tasks,):
            raise ValueError(
                f"{tasks} tasks need [{tasks}, {tasks}] accuracies and [{tasks}] counts, not "
                f"{list(self.accuracy.shape)} and {list(self.images.shape)}"
            )

    def after(self, task: int) -> NDArray[np.float64]:
        """float64 [task + 1], the accuracy on each task so far.

        Raises:
            InputError: that task was not learned yet, so that nothing was measured after it.
        """
        row = self.accuracy[task, : task + 1]
        if np.isnan(row).any():
            raise InputError(f"task {self.names[task]} was not learned yet: there is no accuracy after it")
        return row


def write_matrices(folder: Path, matrices: dict[str, AccuracyMatrix]) -> None:
    """Write `accuracy.json` and, of each kind, `accuracy_KIND.csv`: a row after each task, a column a task.

    What was not measured is null, or empty in the CSV. Accuracies are shares, not per cent.

    Raises:
        InputError: the folder cannot be written.
    """
    first = next(iter(matrices.values()))
    content = {
        "tasks": list(first.names),
        "images": first.images.tolist(),
        **{
            kind: [[None if np.isnan(a) else a for a in row] for row in matrix.accuracy.tolist()]
            for kind, matrix in matrices.items()
        },
    }
    try:
        write_whole(folder / "accuracy.json", json.dumps(content, indent=1, allow_nan=False) + "\n")
        for kind, matrix in matrices.items():
            write_whole(folder / f"accuracy_{kind}.csv", _csv(matrix))
    except OSError as problem:
        raise InputError(
            f"cannot write the accuracies to {folder}: {problem.strerror or problem}; choose output_dir="
        ) from problem


def read_matrices(folder: Path) -> dict[str, AccuracyMatrix]:
    """Read what `write_matrices` wrote, by kind.

    Raises:
        InputError: there is no whole `accuracy.json`.
    """
    path = folder / "accuracy.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        images, names = np.array(content["images"], dtype=np.int64), tuple(content["tasks"])
        return {
            kind: AccuracyMatrix(_with_nan(content[kind]), images, names) for kind in KINDS if kind in content
        }
    except FileNotFoundError as problem:
        raise InputError(f"{folder} is no run of recipe=continual, or no task was learned yet") from problem
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as problem:
        raise InputError(
            f"{path} is damaged ({problem}); go on with resume={folder} or train anew"
        ) from problem


def _with_nan(rows: Sequence[Sequence[float | None]]) -> NDArray[np.float64]:
    return np.array([[np.nan if a is None else a for a in row] for row in rows], dtype=np.float64)


def _csv(matrix: AccuracyMatrix) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["after task", *matrix.names])
    for name, row in zip(matrix.names, matrix.accuracy.tolist(), strict=True):
        writer.writerow([name, *("" if np.isnan(a) else repr(a) for a in row)])
    return text.getvalue()
