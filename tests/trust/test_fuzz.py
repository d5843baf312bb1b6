"""Damaged and hostile input ends in one line: a few inputs of each kind; fuzz.py tries many more."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from hostile import TARGETS, Target, attempt

from fewshot.errors import InputError

INPUTS = int(os.environ.get("FEWSHOT_FUZZ_INPUTS", "150"))
SLOW = {"cars_mat": 4, "cars_labels": 4} | {name: 15 for name in TARGETS if name.startswith("report_")}
"""MATLAB files have a process each, a page is drawn."""
PIECES = (
    b"\n", b"\0", b" ", b"..", b"/", b",", b"=", b"-1", b"9" * 20, b"\xff\xff\xff\x7f", b"null", b"{", b"[",
    b'"', b"'", b"\r", b"nan", b"1e400", b"\x1b[2J", b"<script>", b"\xc3\x28",
)  # fmt: skip


def changed(whole: bytes, draw: random.Random) -> bytes:
    """The bytes with one to five changes."""
    data = bytearray(whole)
    for _ in range(draw.randint(1, 5)):
        at, length = draw.randrange(len(data) + 1), draw.randint(1, 16)
        kind = draw.randrange(6)
        if kind == 0:
            data[at : at + 1] = draw.randbytes(1)
        elif kind == 1:
            del data[at : at + length]
        elif kind == 2:
            data[at:at] = draw.randbytes(length)
        elif kind == 3:
            copied = draw.randrange(len(data) + 1)
            data[at:at] = data[copied : copied + length]
        elif kind == 4:
            data[at:at] = draw.choice(PIECES)
        elif draw.random() < 0.3:
            del data[at:]
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
def test_any_input_is_read_or_refused_in_a_line(name: str, tmp_path: Path) -> None:
    target, draw = TARGETS[name], random.Random(f"{name}")
    beside = tmp_path / "beside"
    (tmp_path / "folder").mkdir()
    beside.write_text("untouched")
    whole = target.seeds()
    for seed in whole:
        attempt(target, seed, tmp_path / "folder")
    for number in range(SLOW.get(name, INPUTS)):
        data = changed(draw.choice(whole), draw)
        try:
            attempt(target, data, tmp_path / "folder")
        except Exception:
            pytest.fail(f"input {number} of {name}: {data!r}", pytrace=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["beside", "folder"]
    assert beside.read_text() == "untouched"


def test_a_defect_would_be_seen(tmp_path: Path) -> None:
    def read(data: bytes, _: Path) -> None:
        if data:
            raise InputError("line one\nline two")
        raise IndexError

    assert attempt(Target(read, list), b"x", tmp_path) == "line one line two"
    with pytest.raises(IndexError):
        attempt(Target(read, list), b"", tmp_path)
