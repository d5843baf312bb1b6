"""How far a long piece of work on files has come: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LINE_EVERY = 10.0
"""Seconds between two lines where there is no terminal."""


@contextmanager
def progress(task: str, total: int | None, unit: str) -> Iterator[Callable[[int], None]]:
    """Yield `advance(count)`; report on stderr.

    Args:
        task: what is done, e.g. "packing omniglot-28px-gray".
        total: how many units there will be; None if that is not known.
        unit: plural noun, e.g. "images". "MB" expects bytes and shows megabytes.
    """
    if sys.stderr.isatty():
        with _bar(task, total, unit) as advance:
            yield advance
        return
    scale = 1_000_000 if unit == "MB" else 1
    started = last = time.monotonic()
    done = 0

    def advance_in_lines(count: int) -> None:
        nonlocal done, last
        done += count
        if time.monotonic() - last >= LINE_EVERY:
            last = time.monotonic()
            of = f" of {total // scale:,}" if total else ""
            print(f"{task}: {done // scale:,}{of} {unit}", file=sys.stderr, flush=True)

    yield advance_in_lines
    seconds = time.monotonic() - started
    print(f"{task}: {done // scale:,} {unit} in {seconds:.0f} s", file=sys.stderr, flush=True)


@contextmanager
def _bar(task: str, total: int | None, unit: str) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    scale = 1_000_000 if unit == "MB" else 1
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} " + unit),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        row = bar.add_task(task, total=None if total is None else total / scale)
        yield lambda count: bar.advance(row, count / scale)
