"""Mutation testing: changes the code in one place and sees whether a test fails; again and again.

`python tests/trust/mutation.py fewshot/mixup` draws 200 changes (`--sample`) by `--seed`, tries each with the
tests of tests/mixup (`--tests`) that run the changed lines, fastest first and up to 30 seconds of them
(`--seconds`), and prints those that none notices. Each is tried in a fork of this process, which has imported
torch and the like, on a copy of the project; one that takes ten times as long as the code did is noticed.
What tests run in further processes is not seen. `--again FILE` tries what was not noticed in the file of an
earlier `--out FILE`.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import pickle
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch  # noqa: F401  once, before the first fork
from mutants import Mutant, sample
from reaching import Reaching

PROJECT = Path(__file__).resolve().parents[2]
COPIED = (
    "fewshot", "conf", "tests", "benchmarks", "train.py", "eval.py", "predict.py", "setup.cfg",
)  # fmt: skip
OPTIONS = ("-q", "-p", "no:cacheprovider", "--tb=line", "-W", "ignore")


def in_fork(work: Callable[[], int], seconds: float, log: Path) -> int | None:
    """The exit status of work done in a fork, None if it took longer and was killed with all it started."""
    child = os.fork()
    if child == 0:
        os.setsid()
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        status = 70
        try:
            status = work()
        finally:
            sys.stdout.flush()
            os._exit(status)
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


class Laboratory:
    """A copy of the project whose files are changed, and what its tests reach.

    Args:
        folder: for the copy and what the tests write.
        places: files and folders within the project that will be changed.
        tests: files and folders of tests.
        seconds: of tests, fastest first, that a mutant is tried with.
    """

    def __init__(self, folder: Path, places: list[str], tests: list[str], seconds: float) -> None:
        self.seconds = seconds
        self.copy, self.temporary, self.log = folder / "project", folder / "temporary", folder / "log"
        for name in COPIED:
            there = PROJECT / name
            if there.is_dir():
                shutil.copytree(there, self.copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                self.copy.mkdir(exist_ok=True)
                shutil.copy(there, self.copy)
        data = PROJECT.parent / "shared" / "data"
        os.environ.setdefault("FEWSHOT_TEST_DATA", str(data))
        os.environ["PYTHONPATH"] = str(self.copy)
        sys.path.insert(0, str(self.copy))
        os.chdir(self.copy)

        def reach() -> int:
            sys.dont_write_bytecode = False
            reaching = Reaching(self.copy, places)
            status = self._tested(tests, reaching)
            reaching.stop()
            own = tuple(path.stem for path in (self.copy / "tests").rglob("*.py"))
            loaded = [name for name in sys.modules if name.split(".")[0] not in ("fewshot", "__main__", *own)]
            (folder / "reached").write_bytes(pickle.dumps((reaching, loaded)))
            return status

        status = in_fork(reach, 3600, self.log)
        if status not in (0, 1):
            raise SystemExit(f"the tests do not run: {self.log.read_text()}")
        self.reaching, loaded = pickle.loads((folder / "reached").read_bytes())
        for name in loaded:
            with suppress(Exception):
                importlib.import_module(name)
        gc.freeze()  # a test run collects garbage twice, among all that is imported
        sys.dont_write_bytecode = True
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"

    def _tested(self, tests: list[str], *plugins: Any) -> int:
        return int(pytest.main([*OPTIONS, f"--basetemp={self.temporary}", *tests], plugins=list(plugins)))

    def outcome(self, mutant: Mutant) -> str:
        """`killed`; `slow`, killed by its time limit; `survived`; `unreached`, if no test runs the lines; or
        `uncollected`, killed while a file of tests was imported."""
        first, last = mutant.lines
        tests, seconds = [], 0.0
        for test in self.reaching.of(mutant.file, range(first, last + 1), mutant.imported):
            seconds += self.reaching.seconds[test]
            if tests and seconds > self.seconds:
                break
            tests.append(test)
        if not tests:
            return "unreached"
        limit = 20 + 10 * seconds
        path = self.copy / mutant.file
        text = path.read_text()
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*"):
            compiled.unlink()  # it would be taken for that of the mutant: as long, of the same second
        path.write_text(mutant.source)
        try:
            status = in_fork(lambda: self._tested(["-x", *tests]), limit, self.log)
        finally:
            path.write_text(text)
        if status == pytest.ExitCode.USAGE_ERROR:
            return "uncollected"
        return {0: "survived", None: "slow"}.get(status, "killed")


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("places", nargs="+")
    parser.add_argument("--tests", nargs="+")
    parser.add_argument("--sample", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--again", type=Path)
    asked = parser.parse_args(words)
    out = asked.out.resolve() if asked.out else None
    tests = asked.tests or [place.replace("fewshot", "tests", 1) for place in asked.places]
    chosen = [mutant for place in asked.places for mutant in sample(PROJECT, place, asked.sample, asked.seed)]
    if asked.again:
        rows = [json.loads(line) for line in asked.again.read_text().splitlines()]
        wanted = {(row["file"], row["change"]) for row in rows if row["outcome"] in ("survived", "unreached")}
        chosen = [mutant for mutant in chosen if (mutant.file, mutant.change) in wanted]
    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        laboratory = Laboratory(Path(folder), asked.places, tests, asked.seconds)
        for mutant in chosen:
            outcome = laboratory.outcome(mutant)
            outcomes[outcome] += 1
            if outcome != "killed":
                place = f"{mutant.file}:{mutant.lines[0]}"
                print(f"{outcome} {place} {mutant.operator}\n{mutant.change}", flush=True)
            if out:
                with out.open("a") as file:
                    row = {**asdict(mutant), "outcome": outcome}
                    row.pop("source")
                    row["end"] = laboratory.log.read_text()[-600:]
                    file.write(json.dumps(row) + "\n")
    killed = outcomes["killed"] + outcomes["slow"] + outcomes["uncollected"]
    print(f"{killed} of {len(chosen)} killed: {dict(outcomes)}")
    return 0 if killed == len(chosen) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
