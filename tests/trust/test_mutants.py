"""The tests notice changes of the code: a few of each package; mutation.py tries 200."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

if not hasattr(os, "fork"):
    pytest.skip("each mutant is tried in a fork", allow_module_level=True)

from mutants import changes, sample, statement

PROGRAM = Path(__file__).with_name("mutation.py")
FILES = {
    "fewshot/losses/arguments.py": "tests/losses/test_arguments.py",
    "fewshot/mixup/partners.py": "tests/mixup/test_partners.py",
    "fewshot/sampling/without_replacement.py": "tests/sampling/test_episodes.py",
    "fewshot/evaluation/intervals.py": "tests/evaluation/test_intervals.py",
}
"""With the tests that notice all their mutants but a few, which are the same program."""
UNTESTED = "fewshot/evaluation/auroc.py"
"""None of these tests runs it."""
SOURCE = '''
"""A text of 1 + 1."""
LIMIT: int | None = 1 - 1

def half(x: int | float = 2) -> int | float:
    if x < 3:
        raise ValueError(f"{x + 1} is below {3 * 1}")
    assert x > 4, x + 1
    return f"{x * 2}" or (
        x / 2
    )
'''


def test_the_tests_notice(tmp_path: Path) -> None:
    # A change of the four files draws others; should one be the same program, take another seed.
    words = [*FILES, UNTESTED, "--tests", *FILES.values(), "--sample", "2", "--seed", "1"]
    run = subprocess.run(
        [sys.executable, PROGRAM, *words, "--out", tmp_path / "out.jsonl"],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert run.returncode == 1, run.stdout + run.stderr
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert Counter(row["file"] for row in rows) == dict.fromkeys((*FILES, UNTESTED), 2)
    for row in rows:
        assert (row["outcome"] in ("survived", "unreached")) == (row["file"] == UNTESTED), row


def test_texts_annotations_and_what_is_raised_do_not_count() -> None:
    lines = {line for _, _, line in changes(SOURCE)}
    assert lines == {3, 5, 6, 8, 9, 10}
    operators = [name for name, _, line in changes(SOURCE) if line == 3]
    assert len(operators) == 2 + 2 + 11  # two numbers up and down, a minus into eleven others


def test_statements_are_told_by_their_lines() -> None:
    assert statement(SOURCE, 3) == ((3, 3), True)
    assert statement(SOURCE, 5) == ((5, 5), True)
    assert statement(SOURCE, 6) == ((6, 6), False)
    assert statement(SOURCE, 10) == ((9, 11), False)


def test_a_sample_is_a_function_of_the_seed(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text(SOURCE)
    first, again, other = (sample(tmp_path, "code.py", 20, seed) for seed in (0, 0, 1))
    assert first == again != other and len({mutant.source for mutant in first}) == 20
    everything = sample(tmp_path, "code.py", 1000, 0)
    assert first == everything[:20] and all(mutant.source != SOURCE for mutant in everything)
