"""Tries inputs of a target of hostile.py, guided by which lines of the program they reach.

    pip install atheris
    python tests/trust/fuzz.py TARGET [RUNS] [SEED]
    python tests/trust/fuzz.py TARGET FILE          # one input again, as a crash left it

It ends at the first defect with its traceback and keeps the input as `crash-TARGET` in this folder.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["fewshot", "pickle", "tarfile", "zipfile"]):
    from hostile import TARGETS, attempt


def main() -> None:
    name, *rest = sys.argv[1:]
    target = TARGETS[name]
    with tempfile.TemporaryDirectory() as place:
        folder, corpus = Path(place) / "folder", Path(place) / "corpus"
        folder.mkdir()
        corpus.mkdir()
        if rest and Path(rest[0]).is_file():
            print(attempt(target, Path(rest[0]).read_bytes(), folder) or "read")
            return
        for number, seed in enumerate(target.seeds()):
            (corpus / str(number)).write_bytes(seed)
        runs, seed = (int(word) for word in [*rest, "100000", "1"][:2]) if len(rest) < 2 else map(int, rest)
        longest = 4 * max(len(seed) for seed in target.seeds())
        options = [
            f"-runs={runs}", f"-seed={seed}", f"-max_len={longest}", "-rss_limit_mb=8000", "-timeout=60",
            "-print_final_stats=1", "-verbosity=0",
        ]  # fmt: skip

        def read(data: bytes) -> None:
            try:
                attempt(target, data, folder)
            except Exception:
                Path(f"crash-{name}").write_bytes(data)
                raise

        atheris.Setup([sys.argv[0], *options, str(corpus)], read)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
