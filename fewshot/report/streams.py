"""Continual runs: the accuracy matrices as heat maps, and accuracy by session."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from fewshot.continual.accuracy_matrix import read_matrices
from fewshot.report.charts import Line, line_chart
from fewshot.report.heat_map import heat_map
from fewshot.report.markup import Markup, join, paragraph, tag
from fewshot.report.results import KINDS
from fewshot.report.run_files import Result, RunFiles
from fewshot.report.section import LeftOut

_SESSIONS = {
    "all": "all classes so far",
    "base": "base classes",
    "new": "new classes",
    "harmonic_mean": "harmonic mean of base and new",
}


def accuracy_matrices(run: RunFiles) -> Markup:
    """Accuracy on each task (column) after each task (row), and the mean over the tasks so far."""
    if run.recipe != "continual" and not (Path(run.folder) / "accuracy.json").exists():
        raise LeftOut("this is no stream of tasks")
    matrices = read_matrices(run.folder)
    maps, lines = [], []
    for kind, matrix in matrices.items():
        tasks = len(matrix.names)
        seen = np.where(np.tri(tasks, dtype=bool), matrix.accuracy, np.nan)
        names = [f"task {name}" for name in matrix.names]
        title = f"{KINDS[kind].capitalize()} accuracy, %"
        chart = heat_map(
            title,
            seen,
            names,
            rows_are="after learning",
            columns_are="measured on",
            low=0,
            high=1,
            scale=100,
            listed=list(matrix.names) != [str(n + 1) for n in range(tasks)],
        )
        maps.append(tag("div", chart))
        means = [seen[row, : row + 1].mean() for row in range(tasks)]
        lines.append(
            Line(KINDS[kind], [(row + 1.0, 100 * float(m)) for row, m in enumerate(means)], marked=True)
        )
    mean = line_chart("Mean over the tasks so far", lines, "after task", "accuracy, %", y=(0, 100))
    told = (
        "A row is measured after its task was learned; tasks not yet seen, and not yet measured, are empty."
    )
    return join((tag("div", *maps, class_="pair"), mean, paragraph(told)))


def sessions(result: Result | None) -> Markup:
    """The curve of few-shot class-incremental learning."""
    found: Any = None if result is None else result.summary.get("sessions")
    if not found:
        raise LeftOut("this is no few-shot class-incremental stream (scenario.shots), or it is not finished")
    lines = [
        Line(
            title,
            [(float(n), math.nan if v is None else 100 * v) for n, v in enumerate(found[name])],
            marked=True,
        )
        for name, title in _SESSIONS.items()
    ]
    ticks = [float(n) for n in range(len(found["all"]))]
    chart = line_chart(
        "Accuracy by session",
        lines,
        "session (0: base)",
        "class-incremental accuracy, %",
        y=(0, 100),
        x_ticks=ticks,
        headed=False,
    )
    return tag("div", chart, paragraph("Means over images, not over tasks."))
