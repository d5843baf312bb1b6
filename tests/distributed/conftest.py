"""The fixture `place`: what two and three processes leave, started as seldom as can be."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from launching import CHECKOUT, EPISODES, EVALUATIONS, HERE, RETRIEVAL, Place, only, torchrun


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("work")
    stopped = stop_a_run(folder)
    run = only(folder / "stopped")
    shutil.copytree(run, folder / "for one")
    evaluations = [
        ("eval", [*EVALUATIONS["few_shot"], "output_dir=straight"]),
        ("eval", [*EVALUATIONS["retrieval"], "output_dir=retrieval"]),
    ]
    out, err = work(
        folder,
        2,
        [
            ("train", [*EPISODES, "output_dir=straight"]),
            ("train", [*RETRIEVAL, "output_dir=retrieval"]),
            *evaluations,
            ("train", [f"resume={run}"]),
            ("train", [*EPISODES, "sampler.episodes=1", "output_dir=refused"]),
        ],
    )
    work(folder, 3, evaluations)
    return Place(folder, out, err, stopped)


def stop_a_run(folder: Path) -> str:
    """Start a training, send its torchrun SIGTERM after the first figures, and return its stderr."""
    process = torchrun(2, CHECKOUT / "train.py", *EPISODES, "output_dir=stopped", cwd=folder)
    while process.poll() is None:
        if any(path.stat().st_size for path in folder.glob("stopped/*/metrics.jsonl")):
            os.kill(process.pid, signal.SIGTERM)
            break
        time.sleep(0.01)
    return process.communicate(timeout=120)[1]


def work(folder: Path, count: int, jobs: list[tuple[str, list[str]]]) -> tuple[str, str]:
    """The shared work and the jobs by some processes; evaluations move to `eval by COUNT`; stdout, stderr."""
    process = torchrun(count, HERE / "worker.py", str(folder), json.dumps(jobs), cwd=folder)
    out, err = process.communicate(timeout=400)
    assert process.returncode == 0, err
    for kind in ("straight", "retrieval"):
        run = only(folder / kind)
        (run / "eval").rename(run / f"eval by {count}")
    return out, err
