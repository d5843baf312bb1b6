"""Real event files, read back by TensorBoard itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from fewshot.tracking.tensorboard import TensorboardTracker

accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def read(folder: Path) -> Any:
    events = accumulators.EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return events


def text(events: Any, name: str) -> str:
    (event,) = events.Tensors(f"{name}/text_summary")
    return str(event.tensor_proto.string_val[0].decode())


def test_a_run_as_tensorboard_reads_it(tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    Image.fromarray(np.full((4, 6, 3), 200, np.uint8)).save(picture)
    figure = Figure()
    figure.subplots().plot([1, 2])
    tracker = TensorboardTracker(tmp_path)
    tracker.config({"loss": {"k": 4}})
    for step in (20, 40):
        tracker.scalars({"train/loss": 1 / step, "lr": 0.5}, step)
    tracker.figure("file", picture, 40)
    tracker.figure("plot", figure, 40)
    tracker.table("classes", ["class", "accuracy"], [["a|b", 0.5]])
    tracker.summary({"test": {"accuracy": 0.25}})
    tracker.artifact("best", picture)
    tracker.close(0)

    events = read(tmp_path)
    assert [event.step for event in events.Scalars("train/loss")] == [20, 40]
    assert [event.value for event in events.Scalars("train/loss")] == pytest.approx([0.05, 0.025])
    assert [e.value for e in events.Scalars("lr")] == [0.5, 0.5]
    (image,) = events.Images("file")
    assert (image.width, image.height, image.step) == (6, 4, 40)
    assert events.Images("plot")
    assert "| loss.k | 4 |" in text(events, "config")
    assert "| a\\|b | 0.5 |" in text(events, "classes")
    assert "| test.accuracy | 0.25 |" in text(events, "summary")


def test_a_resumed_run_hides_what_the_stopped_one_logged_too_far(tmp_path: Path) -> None:
    first = TensorboardTracker(tmp_path)
    for step in (1, 2, 3, 4):
        first.scalars({"loss": 1.0}, step)
    first.close(143)
    second = TensorboardTracker(tmp_path, resume_step=2)
    for step in (3, 4, 5):
        second.scalars({"loss": 2.0}, step)
    second.close(0)
    values = [(event.step, event.value) for event in read(tmp_path).Scalars("loss")]
    assert values == [(1, 1.0), (2, 1.0), (3, 2.0), (4, 2.0), (5, 2.0)]
