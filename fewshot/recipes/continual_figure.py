"""Figures of a stream: heat maps of its accuracy matrices, and accuracy by session."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fewshot.continual.accuracy_matrix import AccuracyMatrix
from fewshot.continual.measures import Session
from fewshot.errors import InputError
from fewshot.whole_file import whole_file

TITLES = {"task_incremental": "Task-incremental", "class_incremental": "Class-incremental"}
_MOST_NUMBERS = 12
"""Tasks above which the cells are too small for numbers."""


def save_heat_maps(path: Path, matrices: Mapping[str, AccuracyMatrix]) -> None:
    """Draw the matrices side by side, per cent, a row after each task; what was not measured is empty.

    Raises:
        InputError: the file cannot be written.
    """
    figure = Figure(figsize=(5.6 * len(matrices), 5.0), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(matrices)))
    image = None
    for axis, (kind, matrix) in zip(axes, matrices.items(), strict=True):
        tasks = len(matrix.names)
        seen = np.where(np.tri(tasks, dtype=bool), 100 * matrix.accuracy, np.nan)
        image = axis.imshow(seen, vmin=0, vmax=100, cmap="viridis")
        axis.set_title(TITLES[kind])
        axis.set_xlabel("accuracy on task, %")
        axis.set_ylabel("after task")
        every = max(1, tasks // 10)
        places = range(0, tasks, every)
        names = [matrix.names[place] for place in places]
        turned = 90 if max(map(len, names)) > 3 else 0
        axis.set_xticks(places, names, rotation=turned)
        axis.set_yticks(places, names)
        if tasks <= _MOST_NUMBERS:
            for (row, column), value in np.ndenumerate(seen):
                if not np.isnan(value):
                    axis.text(
                        column,
                        row,
                        f"{value:.0f}",
                        ha="center",
                        va="center",
                        fontsize=8,
                        color="white" if value < 60 else "black",
                    )
    assert image is not None
    figure.colorbar(image, ax=list(axes), shrink=0.8)
    _save(figure, path)


def save_sessions(path: Path, sessions: Session) -> None:
    """Draw the accuracy after each session: all classes, base, new, and the harmonic mean of these two.

    Raises:
        InputError: the file cannot be written.
    """
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axis = figure.subplots()
    numbers = np.arange(len(sessions.all))
    for values, label, style in (
        (sessions.all, "all classes so far", "o-"),
        (sessions.base, "base classes", "s--"),
        (sessions.new, "new classes", "^--"),
        (sessions.harmonic_mean, "harmonic mean of base and new", "d:"),
    ):
        axis.plot(numbers, 100 * values, style, label=label)
    axis.set_xlabel("session (0: base)")
    axis.set_ylabel("class-incremental accuracy, %")
    axis.set_xticks(numbers)
    axis.set_ylim(0, 100)
    axis.grid(alpha=0.3)
    axis.legend()
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    FigureCanvasAgg(figure)
    try:
        with whole_file(path) as file:
            figure.savefig(file, format="png", dpi=130)
    except OSError as problem:
        raise InputError(
            f"cannot write {path}: {problem.strerror or problem}; choose output_dir="
        ) from problem
