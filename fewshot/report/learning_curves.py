"""Loss and validation by step, from metrics.jsonl."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fewshot.report.charts import Line, line_chart
from fewshot.report.markup import Markup, join, paragraph, tag
from fewshot.report.run_files import RunFiles
from fewshot.report.section import LeftOut

TITLES = {
    "val/accuracy": "accuracy",
    "val/recall_at_1": "Recall@1",
    "val/map_at_r": "MAP@R",
    "val/task_incremental": "task-incremental, tasks so far",
    "val/class_incremental": "class-incremental, tasks so far",
}


def learning_curves(run: RunFiles) -> Markup:
    """The loss, and what chose the weights. A stream's accuracies have a section of their own."""
    if not run.metrics:
        raise LeftOut("metrics.jsonl is missing, empty or damaged")
    loss = _points(run.metrics, "train/loss", 1)
    keys = list(dict.fromkeys(key for line in run.metrics for key in line if key.startswith("val/")))
    shares = [key for key in keys if not key.endswith("interval") and run.recipe != "continual"]
    lines = []
    for key in shares:
        points = _points(run.metrics, key, 100)
        half = _points(run.metrics, "val/interval", 100) if key == "val/accuracy" else []
        widths = [b for _, b in half] if len(half) == len(points) else []
        lines.append(
            Line(TITLES.get(key, key.removeprefix("val/")), points, widths, marked=len(points) <= 40)
        )
    charts = []
    if any(math.isfinite(b) for _, b in loss):
        charts.append(line_chart("Training loss", [Line("loss", loss)], "step", "loss"))
    if lines:
        charts.append(line_chart("Validation", lines, "step", "per cent"))
    if not charts:
        raise LeftOut("metrics.jsonl holds neither a loss nor a validation")
    return join((tag("div", *charts, class_="pair"), paragraph(_told(run))))


def _told(run: RunFiles) -> str:
    best, step = run.record.get("best"), run.record.get("best_step")
    skipped = run.record.get("skipped")
    told = [f"{run.record.get('steps', run.metrics[-1]['step'])} steps"]
    if isinstance(best, float):
        told.append(f"best validation {100 * best:.2f} % after step {step}")
    if skipped:
        told.append(f"{skipped} steps that were not finite were skipped")
    if run.record.get("early"):
        told.append("stopped early")
    return "; ".join(told) + ". Each point of the loss is a mean over the steps of one line of the log."


def _points(metrics: Sequence[Mapping[str, Any]], key: str, scale: float) -> list[tuple[float, float]]:
    values = [(line["step"], line[key]) for line in metrics if key in line]
    return [(float(step), math.nan if value is None else scale * float(value)) for step, value in values]
