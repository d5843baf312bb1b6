"""Being asked to stop: a signal is noted, the step is finished, and the state is saved."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType

from fewshot.distributed import Processes


class Stopped(Exception):
    """A run ended early, with its state saved, because of a signal.

    Attributes:
        signal: its number; the exit status is 128 + signal, as of a process that the signal ended.
    """

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.signal = number


class StopRequest:
    """Whether a signal has asked the run to stop."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:  # asked twice: at once
            raise KeyboardInterrupt
        self.signal = number

    def agreed(self, processes: Processes) -> int | None:
        """The signal that any of the processes was sent; they must all ask after the same step."""
        return processes.highest(self.signal or 0) or None


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Within it, SIGTERM and SIGINT only set the request; outside the main thread it never is."""
    request = StopRequest()
    if current_thread() is not main_thread():
        yield request
        return
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, request) for number in numbers]
    try:
        yield request
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
