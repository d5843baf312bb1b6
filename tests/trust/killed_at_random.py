"""Trains and is killed again and again, at moments that nothing in the program knows: JSON in, JSON out.

`python killed_at_random.py` reads a list of {"words": [...], "folder": DIR, "kills": N, "seed": S}. Of each
it starts the training, kills it after a random part of the time that the training before it in the list took,
goes on with resume=, and so on; after N kills it is let through. Each part is a fork of this process, which
has imported everything and computed nothing. It prints [[saved step at each kill], exit status] of each.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import hydra  # noqa: F401
import torch._dynamo  # noqa: F401 - what an optimizer loads

import fewshot.recipes.continual
import fewshot.recipes.few_shot
import fewshot.recipes.retrieval  # noqa: F401
from fewshot.cli.commands import train
from fewshot.training import checkpoint


def part(words: list[str], seconds: float | None) -> int | None:
    """The exit status of a training, None if it was killed."""
    child = os.fork()
    if child == 0:
        with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
            os._exit(train.run(words))
    if seconds is not None:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.002)
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return None if status == -signal.SIGKILL else status


def trained(job: dict[str, Any], seconds: float) -> tuple[list[int], int]:
    """The steps that were saved at each kill, and the exit status."""
    draw, steps = random.Random(job["seed"]), []
    words = job["words"]
    while len(steps) < job["kills"]:
        # A resumed part repeats the start alone, so that several find room in the time of the whole.
        status = part(words, draw.uniform(0.1, 0.6) * seconds)
        if status == 0:
            # It ended sooner than the machine had made the straight one end: once more, and killed earlier.
            for run in Path(job["folder"]).iterdir():
                shutil.rmtree(run)
            seconds, words, steps = seconds / 2, job["words"], []
            continue
        if status is not None:
            return steps, status
        # Killed before its first checkpoint, a run is started anew.
        saved = sorted(Path(job["folder"]).glob("*/last.pt"))
        steps.append(step(saved[0].parent) if saved else 0)
        words = [f"resume={saved[0].parent}", "report=false"] if saved else job["words"]
    status = part(words, None)
    assert status is not None
    return steps, status


def main() -> None:
    done, seconds = [], 0.0
    for job in json.load(sys.stdin):
        began = time.monotonic()
        done.append(trained(job, seconds))
        seconds = time.monotonic() - began
    print(json.dumps(done))


def step(run: Path) -> int:
    """In a fork, since this process must compute nothing."""
    read, write = os.pipe()
    if os.fork() == 0:
        os.write(write, str(checkpoint.load_last(run)["outcome"]["steps"]).encode())
        os._exit(0)
    os.wait()
    return int(os.read(read, 20))


if __name__ == "__main__":
    main()
