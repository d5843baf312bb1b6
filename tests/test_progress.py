from __future__ import annotations

import io
import itertools
import sys
import time

import pytest

from fewshot.progress import Progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at the clock is 10 s after the one before."""
    ticks = itertools.count(0.0, 10.0)
    monkeypatch.setattr(time, "monotonic", lambda: next(ticks))


@pytest.mark.usefixtures("clock")
def test_lines_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("train", 30, "steps", done=10) as progress:
        for step in range(4):
            progress.advance(5)
            progress.describe(f"loss {step}")
            if step == 1:
                progress.announce("step 20: validation")
    captured = capsys.readouterr()
    assert captured.out == ""
    # The third advance finds 30 s gone, looks once more (40 s) and tells; the next line would be due at 70 s.
    assert captured.err.splitlines() == [
        "step 20: validation",
        "train: 25 of 30 steps, 0.4/s, 0:00:13 left  loss 1",
        "train: 20 steps in 60 s  loss 3",
    ]


@pytest.mark.usefixtures("clock")
def test_an_unknown_total_is_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("packing", None, "images") as progress:
        for _ in range(3):
            progress.advance(1000)
    assert capsys.readouterr().err.splitlines() == [
        "packing: 3,000 images, 75.0/s",
        "packing: 3,000 images in 50 s",
    ]


def test_work_that_fails_has_no_sum(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), Progress("train", 10, "steps"):
        raise ZeroDivisionError
    assert capsys.readouterr().err == ""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("total", [4, None])
def test_a_terminal_gets_a_bar(total: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with Progress("packing [a]", total, "images") as progress:
        progress.advance(3)
        progress.describe("loss [0.5]")
        progress.announce("a line [that] stays")
        assert progress.bar is not None
        progress.bar.refresh()
    shown = terminal.getvalue()
    assert "packing [a]" in shown and "loss [0.5]" in shown and "a line [that] stays\n" in shown
    assert ("3 of 4 images" if total else "3 images") in shown
    assert shown.endswith("packing [a]: 3 images in 0 s  loss [0.5]\n")
