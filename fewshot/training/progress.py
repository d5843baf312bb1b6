"""How far a run is: a bar in a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

_SECONDS_BETWEEN_LINES = 30.0


class Progress:
    """Shows the steps of a run on stderr.

    Args:
        total: steps of the run.
        done: steps done before.
    """

    def __init__(self, total: int, done: int = 0) -> None:
        self.total = total
        self.done = done
        self.first = done
        self.text = ""
        self.began = self.shown = time.monotonic()
        self.bar = None
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self.bar = Bar(
                TextColumn("train"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.description}"),
                console=Console(stderr=True),
            )
            self.task = self.bar.add_task("", total=total, completed=done)

    def __enter__(self) -> Progress:
        if self.bar:
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar:
            self.bar.stop()

    def step(self) -> None:
        """One more step is done."""
        self.done += 1
        if self.bar:
            self.bar.update(self.task, advance=1)
        elif self.done == self.total or time.monotonic() - self.shown > _SECONDS_BETWEEN_LINES:
            self._line()

    def describe(self, text: str) -> None:
        """Show the latest figures beside the bar or on the next line."""
        self.text = text
        if self.bar:
            self.bar.update(self.task, description=text)

    def announce(self, text: str) -> None:
        """A line that stays."""
        if self.bar:
            self.bar.console.print(text, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def _line(self) -> None:
        self.shown = time.monotonic()
        rate = (self.done - self.first) / max(self.shown - self.began, 1e-9)
        left = (self.total - self.done) / max(rate, 1e-9)
        print(
            f"step {self.done}/{self.total}  {self.text}  {rate:.1f} steps/s, {left:.0f} s left",
            file=sys.stderr,
            flush=True,
        )
