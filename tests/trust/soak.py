"""Trains and evaluates in one process for a long time, and says what memory, files and disk do meanwhile.

    python tests/trust/soak.py [MINUTES=120]

A round is a training of each of two recipes and its evaluation, each with its
report, in a folder of its own. What must not grow from round to round: resident memory, open files,
threads. What a run leaves on the disk is bounded: the two newest checkpoints, the best one, results.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from fewshot.cli.commands import eval as eval_
from fewshot.cli.commands import train

SMALL = ["steps=60", "training.save_every=10", "validation.every=30", "threads=1", "backbone.width=16"]
FEW_SHOT = ["recipe=few_shot", "validation.episodes=100"]
RETRIEVAL = ["recipe=retrieval", "sampler.classes=10", "sampler.images=4"]


class Used(NamedTuple):
    """What the process and its run hold: MiB resident, open files, threads, MiB and files on the disk."""

    resident: float
    files: int
    threads: int
    disk: float
    left: int


def round_of(folder: Path, seed: int) -> Used:
    """One round; what is used at its end."""
    for recipe in (FEW_SHOT, RETRIEVAL):
        place = folder / recipe[0].partition("=")[2]
        run(train.run, *recipe, *SMALL, f"seed={seed}", f"output_dir={place}")
        (made,) = place.iterdir()
        run(eval_.run, f"run={made}", *(["episodes=500"] if recipe is FEW_SHOT else []))
    left = [path for path in folder.rglob("*") if path.is_file()]
    return Used(resident(), len(os.listdir("/proc/self/fd")), threading.active_count(),
                sum(path.stat().st_size for path in left) / 2**20, len(left))  # fmt: skip


def run(command: object, *words: str) -> None:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = command(words)  # type: ignore[operator]
    if status:
        raise SystemExit(f"{' '.join(words)}: status {status}\n{said.getvalue()}")


def resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 120.0
    began = time.monotonic()
    columns = ("minutes", "round", "MiB", "files", "threads", "MiB on disk", "files there")
    print("".join(f"{name:>13}" for name in columns))
    number = 0
    with tempfile.TemporaryDirectory() as place:
        os.environ["FEWSHOT_DATA"] = f"{place}/data"
        while time.monotonic() - began < 60 * minutes:
            with tempfile.TemporaryDirectory() as folder:
                used = round_of(Path(folder), number)
            number += 1
            print(
                f"{(time.monotonic() - began) / 60:13.1f}{number:13}{used.resident:13.0f}{used.files:13}"
                f"{used.threads:13}{used.disk:13.1f}{used.left:13}",
                flush=True,
            )


if __name__ == "__main__":
    main()
