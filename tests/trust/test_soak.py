"""What a process holds does not grow from one training to the next; soak.py watches for hours."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("memory and open files are read from Linux's /proc", allow_module_level=True)

from soak import round_of


def test_a_round_leaves_what_the_round_before_left(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEWSHOT_DATA", str(packed))
    first, second = (round_of(tmp_path / name, seed) for seed, name in enumerate(("first", "second")))
    assert (second.files, second.threads, second.left) == (first.files, first.threads, first.left)
    assert second.resident < first.resident + 60
    assert second.disk < 1.2 * first.disk
