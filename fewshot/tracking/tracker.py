"""What a run tells about itself, and to whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    Cell = str | float | int | bool | None | Path | Figure
    """Of a table; a path is that of an image."""


class Tracker(Protocol):
    """Where configuration, figures and results of one run go.

    A tracker may do nothing for a kind it has no place for. Errors are raised as they come: what
    keeps them from the run is `fewshot.tracking.guarded`.
    """

    def config(self, values: Mapping[str, object]) -> None:
        """The resolved configuration, nested as it is. Called once, before any scalars."""

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Figures by name after `step` steps. Steps do not go down; one step may have several calls."""

    def figure(self, name: str, picture: Path | Figure, step: int) -> None:
        """An image file, or a matplotlib figure."""

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        """A table; every row has a cell for each column."""

    def artifact(self, name: str, path: Path) -> None:
        """A file of the run that is worth keeping: a checkpoint, a report."""

    def summary(self, values: Mapping[str, object]) -> None:
        """Results of the run as a whole, by name. Later calls add to earlier ones and replace."""

    def close(self, status: int) -> None:
        """The run is over; `status` is the exit status: 0, or 128 + signal where a signal stopped it."""
