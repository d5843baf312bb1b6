"""Warnings of the package's own loggers, a line each on stderr."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator


@contextlib.contextmanager
def warning_lines() -> Iterator[None]:
    """Within it a warning is `warning: ...` on stderr, and no handler of Hydra writes it to stdout."""
    log = logging.getLogger("fewshot")
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter("warning: %(message)s"))
    passed_on = log.propagate
    log.addHandler(handler)
    log.propagate = False
    try:
        yield
    finally:
        log.propagate = passed_on
        log.removeHandler(handler)
