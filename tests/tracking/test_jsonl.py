from __future__ import annotations

import csv
import json
import subprocess
import sys
import textwrap
from pathlib import Path

from matplotlib.figure import Figure

from fewshot.tracking.jsonl import JsonlTracker


def log(tracker: JsonlTracker, steps: range) -> None:
    for step in steps:
        tracker.scalars({"train/loss": 1 / step}, step)
        if step % 4 == 0:
            tracker.scalars({"val/accuracy": step / 10}, step)


def test_a_resumed_file_equals_that_of_a_straight_run(tmp_path: Path) -> None:
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    for folder in (straight, stopped):
        folder.mkdir()
    whole = JsonlTracker(straight)
    log(whole, range(1, 13))
    whole.close(0)
    first = JsonlTracker(stopped)
    log(first, range(1, 11))  # the checkpoint was made at step 8
    first.close(143)
    with (stopped / "metrics.jsonl").open("a") as file:
        file.write('{"step": 8, "train/lo')  # killed while it wrote
    second = JsonlTracker(stopped, resume_step=8)
    log(second, range(9, 13))
    second.close(0)
    assert (stopped / "metrics.jsonl").read_bytes() == (straight / "metrics.jsonl").read_bytes()
    lines = [json.loads(line) for line in (straight / "metrics.jsonl").read_text().splitlines()]
    assert lines[4] == {"step": 4, "val/accuracy": 0.4}
    assert len(lines) == 15


def test_a_new_run_starts_anew_and_a_resumed_one_may_find_nothing(tmp_path: Path) -> None:
    JsonlTracker(tmp_path, resume_step=5).scalars({"a": 1.0}, 6)
    tracker = JsonlTracker(tmp_path)
    tracker.scalars({"b": float("nan"), "c": float("inf")}, 1)
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 1, "b": null, "c": null}\n'


def test_a_killed_run_has_lost_no_line(tmp_path: Path) -> None:
    program = f"""
        import os, signal
        from pathlib import Path
        from fewshot.tracking.jsonl import JsonlTracker
        tracker = JsonlTracker(Path({str(tmp_path)!r}))
        for step in range(3):
            tracker.scalars({{"a": 1.0}}, step)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=False)
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 3


def test_config_summary_tables_and_figures_are_plain_files(tmp_path: Path) -> None:
    tracker = JsonlTracker(tmp_path)
    tracker.config({"loss": {"k": 4}, "choices": {"loss": "icnn"}})
    tracker.summary({"test": {"accuracy": 0.5}})
    tracker.summary({"seconds": 3.0, "interval": float("nan")})
    tracker.table("per class/test", ["class", "accuracy"], [["a, b", 0.5], ["c", 1.0]])
    figure = Figure()
    figure.subplots().plot([1, 2])
    tracker.figure("curve", figure, 20)
    tracker.figure("kept", tmp_path / "elsewhere.png", 20)
    tracker.artifact("checkpoint", tmp_path / "best.pt")
    tracker.close(0)
    assert json.loads((tmp_path / "config.json").read_text()) == {"loss.k": 4, "choices.loss": "icnn"}
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary == {"test.accuracy": 0.5, "seconds": 3.0, "interval": None}
    with (tmp_path / "tables" / "per class-test.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["class", "accuracy"], ["a, b", "0.5"], ["c", "1.0"]]
    assert (tmp_path / "figures" / "curve-20.png").read_bytes().startswith(b"\x89PNG")
    assert not list(tmp_path.rglob(".*"))


def test_it_needs_no_heavy_import() -> None:
    program = (
        "import sys, fewshot.tracking.guarded; print({'torch', 'wandb', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
