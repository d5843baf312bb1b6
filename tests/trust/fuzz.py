"""Tries inputs of targets of hostile.py, guided by which lines of the program they reach.

    pip install atheris
    python tests/trust/fuzz.py TARGET[,TARGET ...] [RUNS] [SEED] [SECONDS]     # "all": every target
    python tests/trust/fuzz.py TARGET FILE               # one input again, as a crash left it

Each target ends at its first defect, with the traceback, and leaves the input as `crash-TARGET` in the
folder in which it is started.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["fewshot", "pickle", "tarfile", "zipfile"]):
    from hostile import TARGETS, attempt

_MEMORY_MB = 4000


def main() -> None:
    names, *rest = sys.argv[1:]
    if rest and Path(rest[0]).is_file():
        with tempfile.TemporaryDirectory() as place:
            print(attempt(TARGETS[names], Path(rest[0]).read_bytes(), Path(place)) or "read")
        return
    runs, seed, seconds = (int(word) for word in [*rest, *("100000", "1", "600")[len(rest) :]])
    failed = []
    for name in TARGETS if names == "all" else names.split(","):
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as place:
            if (child := os.fork()) == 0:  # atheris ends the process; what was imported is shared
                fuzz(name, runs, seed, seconds, Path(place))
            _, status = os.waitpid(child, 0)
        failed += [name] if status else []
        print(f"{name}: status {status}, {time.monotonic() - began:.0f} s", flush=True)
    sys.exit(f"defects: {', '.join(failed)}" if failed else 0)


def fuzz(name: str, runs: int, seed: int, seconds: int, place: Path) -> None:
    """Does not return."""
    target = TARGETS[name]
    folder, corpus = place / "folder", place / "corpus"
    folder.mkdir()
    corpus.mkdir()
    seeds = target.seeds()
    for number, whole in enumerate(seeds):
        (corpus / str(number)).write_bytes(whole)
    options = [
        f"-runs={runs}", f"-seed={seed}", f"-max_len={4 * max(map(len, seeds))}", "-timeout=60",
        f"-max_total_time={seconds}", f"-rss_limit_mb={_MEMORY_MB}", "-print_final_stats=1", "-verbosity=0",
    ]  # fmt: skip
    last = Path(f"crash-{name}")

    def read(data: bytes) -> None:
        last.write_bytes(data)  # before it is read: a crash of the interpreter leaves nothing else
        attempt(target, data, folder)
        last.unlink()

    atheris.Setup([sys.argv[0], *options, str(corpus)], read)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
