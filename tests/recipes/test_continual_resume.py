"""Methods of continual learning, killed within a task and between tasks, goes on to the same bits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from programs import only_run, program, same

METHODS = ("prd", "der", "icarl", "ewc")
"""They keep between them all that methods keep: prototypes, snapshots, memories, Fisher information."""
SMALL = [
    "recipe=continual",
    "tasks=3",
    "scenario.classes=6",
    "steps=6",
    "threads=1",
    "precision=float32",
    "backbone.width=4",
    "head.widths=[16,8]",
    "data.images_per_class=8",
    "sampler.batch=16",
    "optimizer.lr=0.03",
    "training.save_every=4",
    "augment=shift",
]
WITHIN, BETWEEN = 9, 13
"""Before these steps the runs are killed: the newest checkpoints are of step 8, within the second task, and
of step 12, which is the end of that task before `end_task`, snapshots, memories and evaluation."""


def words(name: str, place: Path) -> list[str]:
    memory = ["continual.buffer_size=12"] if name in ("er", "der", "icarl") else []
    return [*SMALL, f"continual={name}", *memory, f"output_dir={place}"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where every method has a straight run, and another that was killed twice and not yet resumed."""
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("FEWSHOT_DATA", raising=False)
        for name in METHODS:
            program("train.py", *words(name, folder / "straight" / name), cwd=folder)
        _kill(folder, [(words(name, folder / "killed" / name), WITHIN) for name in METHODS])
        for name in METHODS:
            assert torch.load(only_run(folder / "killed" / name) / "last.pt")["outcome"]["steps"] == 8
        again = [([f"resume={only_run(folder / 'killed' / name)}"], BETWEEN) for name in METHODS]
        _kill(folder, again)
        yield folder


def _kill(folder: Path, jobs: list[tuple[list[str], int]]) -> None:
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("kill_runs.py"))],
        input=json.dumps(jobs),
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [int(signal.SIGKILL)] * len(jobs), done.stderr


@pytest.mark.parametrize("name", METHODS)
def test_a_run_killed_within_and_between_tasks_ends_as_the_straight_one(place: Path, name: str) -> None:
    straight, killed = (only_run(place / how / name) for how in ("straight", "killed"))
    assert torch.load(killed / "last.pt")["outcome"]["steps"] == 12
    program("train.py", f"resume={killed}", cwd=place)
    # Encoder, prototypes, snapshots, memories, optimizer, schedule and the accuracies lie in last.pt; draws
    # are keyed by the step, so that no generator has a state.
    for file in ("last.pt", "best.pt", "method.pt"):
        assert same(torch.load(killed / file), torch.load(straight / file)), file
    for file in ("accuracy.json", "accuracy_task_incremental.csv", "accuracy_class_incremental.csv"):
        assert (killed / file).read_bytes() == (straight / file).read_bytes()
    places = [run / "eval" / "continual" / "result.json" for run in (straight, killed)]
    found = [json.loads(result.read_text()) for result in places]
    for result in found:
        del result["cost"]["seconds"]
    assert found[0] == found[1]
