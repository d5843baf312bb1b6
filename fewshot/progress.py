"""How far a long piece of work has come: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from types import TracebackType

SECONDS_BETWEEN_LINES = 30.0


class Progress:
    """Shows work on stderr while its `with` block lasts; a block that ends well ends with a line of the sum.

    Args:
        task: what is done, e.g. "packing omniglot-28px-gray".
        total: how many units there will be; None if that is not known.
        unit: plural noun, e.g. "images".
        done: units done before.
    """

    def __init__(self, task: str, total: float | None, unit: str, *, done: float = 0) -> None:
        self.task = task
        self.total = total
        self.unit = unit
        self.first = self.done = done
        self.text = ""
        self.began = self.shown = time.monotonic()
        self.bar = None
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            of = "" if total is None else f" of {total:,.0f}"
            self.bar = Bar(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TextColumn("{task.completed:,.0f}" + f"{of} {unit}", markup=False),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[text]}", markup=False),
                console=Console(stderr=True),
                transient=True,
            )
            self.row = self.bar.add_task(task, total=total, completed=done, text="")  # type: ignore[arg-type]

    def __enter__(self) -> Progress:
        if self.bar:
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar:
            self.bar.stop()
        if kind is None:
            took = time.monotonic() - self.began
            self._line(f"{self.done - self.first:,.0f} {self.unit} in {took:.0f} s")

    def advance(self, count: float = 1) -> None:
        """So many units more are done."""
        self.done += count
        if self.bar:
            self.bar.advance(self.row, count)
        elif time.monotonic() - self.shown >= SECONDS_BETWEEN_LINES:
            self.shown = time.monotonic()
            self._line(self._standing())

    def describe(self, text: str) -> None:
        """Show the latest figures beside the bar or on the next line."""
        self.text = text
        if self.bar:
            self.bar.update(self.row, text=text)

    def announce(self, text: str) -> None:
        """A line that stays."""
        if self.bar:
            self.bar.console.print(text, highlight=False, markup=False, soft_wrap=True)
        else:
            print(text, file=sys.stderr, flush=True)

    def _standing(self) -> str:
        rate = (self.done - self.first) / max(self.shown - self.began, 1e-9)
        if self.total is None or not rate:
            return f"{self.done:,.0f} {self.unit}, {rate:.1f}/s"
        left = timedelta(seconds=round((self.total - self.done) / rate))
        return f"{self.done:,.0f} of {self.total:,.0f} {self.unit}, {rate:.1f}/s, {left} left"

    def _line(self, standing: str) -> None:
        print(f"{self.task}: {standing}  {self.text}".rstrip(), file=sys.stderr, flush=True)
