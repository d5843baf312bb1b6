"""Trains and is killed again and again, at moments that nothing in the program knows: JSON in, JSON out.

`python killed_at_random.py` reads a list of {"words": [...], "folder": DIR, "kills": N, "seed": S}. Of each
it starts the training, kills it at a random moment, goes on with resume=, and so on; after N kills it is let
through. Each part is a fork of this process, which has imported everything and computed nothing. It prints
[[saved step at each kill], exit status] of each.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
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


def part(words: list[str], moment: Callable[[], bool] | None) -> int | None:
    """The exit status of a training, None if it was killed, which it is at a moment."""
    child = os.fork()
    if child == 0:
        with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
            os._exit(train.run(words))
    if moment is not None:
        while not moment():
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.002)
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return None if status == -signal.SIGKILL else status


def moment_of(draw: random.Random, folder: Path, seconds: float) -> Callable[[], bool]:
    """At a time from the start, or some time after some further checkpoints, so that a run gets on."""
    saves, seen, after = draw.randrange(4), newest(folder), draw.uniform(0, 0.1) * seconds
    ends = time.monotonic() + draw.uniform(0.1, 0.6) * seconds if saves == 0 else None

    def come() -> bool:
        nonlocal saves, seen, ends
        if ends is None and newest(folder) != seen:
            saves, seen = saves - 1, newest(folder)
            if saves == 0:
                ends = time.monotonic() + after
        return ends is not None and time.monotonic() >= ends

    return come


def newest(folder: Path) -> list[int]:
    """What changes with each checkpoint."""
    found = []
    for path in sorted(folder.glob("*/last.pt")):
        # It is gone for a moment while the one before is put aside.
        with suppress(FileNotFoundError):
            found.append(path.stat().st_mtime_ns)
    return found


def trained(job: dict[str, Any], seconds: float) -> tuple[list[int], int]:
    """The steps that were saved at each kill, and the exit status."""
    draw, steps = random.Random(job["seed"]), []
    words, folder = job["words"], Path(job["folder"])
    while len(steps) < job["kills"]:
        status = part(words, moment_of(draw, folder, seconds))
        if status == 0:
            # It ended before that moment: once more, and killed earlier.
            for run in folder.iterdir():
                shutil.rmtree(run)
            seconds, words, steps = seconds / 2, job["words"], []
            continue
        if status is not None:
            return steps, status
        # Killed before its first checkpoint, a run is started anew.
        saved = sorted(folder.glob("*/last.pt*"))
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
