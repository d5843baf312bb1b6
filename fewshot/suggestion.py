"""The `did you mean` at the end of an error line."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """`; did you mean 'icnn'?`, or nothing if no choice is near, whatever the case of the letters."""
    as_written = {choice.lower(): choice for choice in choices}
    near = get_close_matches(word.lower(), as_written, 1)
    return f"; did you mean '{as_written[near[0]]}'?" if near else ""
