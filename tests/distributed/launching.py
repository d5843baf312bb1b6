"""How tests start several processes, and what these do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
DATA = ["data.images_per_class=6", "threads=1", "precision=float32", "device=cpu"]
TASK = ["shots=1", "queries=3"]
SMALL = ["report=false", *DATA, "backbone.width=8", "training.log_every=5"]
EPISODES = [*SMALL, *TASK, "sampler.episodes=3", "steps=120", "validation.every=60", "validation.episodes=40"]
RETRIEVAL = [
    *SMALL, "recipe=retrieval", "loss=contrastive", "memory=cross_batch", "memory.size=40", "mixup=embedding",
    "sampler.classes=5", "sampler.images=3", "head.dim=16", "steps=10", "validation.every=5",
]  # fmt: skip
TESTED = ["report=false", "threads=1", "cache=false"]
EVALUATIONS = {
    "few_shot": [*TESTED, *TASK, "shots=[1,2]", "episodes=300", "batch=100"],
    "retrieval": [*TESTED, "evaluation=retrieval", "evaluation.representation=false"],
}


class Place(NamedTuple):
    """A working directory in which several processes have run.

    Attributes:
        folder: with the shared work of two and three processes; runs in `straight`, `stopped` and
            `retrieval`, and their evaluations by two and three; `for one`, the stopped run as it was.
        out, err: of the two processes.
        stopped: stderr of the two that were stopped.
    """

    folder: Path
    out: str
    err: str
    stopped: str


def only(folder: Path) -> Path:
    """The one folder in a folder."""
    (found,) = [path for path in folder.iterdir() if path.is_dir()]
    return found


def torchrun(count: int, script: Path, *words: str, cwd: Path) -> subprocess.Popen[str]:
    """Start `count` processes of a script, with one thread each."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    return started([*launcher, str(script), *words], cwd)


def started(words: list[str], cwd: Path, further: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    left_out = ("FEWSHOT_DATA", "RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    environment = {key: value for key, value in os.environ.items() if key not in left_out}
    path = os.pathsep.join(filter(None, (str(CHECKOUT), os.environ.get("PYTHONPATH"))))
    environment |= {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", **(further or {})}
    return subprocess.Popen(
        words, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
