"""Means of the figures of a few steps, without waiting for the device at each."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor


class Window:
    """Sums of the figures since the last line of the log, kept on the device until it is closed.

    Args:
        count: steps summed.
        sums: of each figure over them.
    """

    def __init__(self, count: int = 0, sums: dict[str, Tensor] | None = None) -> None:
        self.count = count
        self.sums: dict[str, Tensor] = sums or {}

    def add(self, figures: Mapping[str, Tensor]) -> None:
        """One more step's figures, 0-d tensors."""
        for name, value in figures.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.count += 1

    def close(self) -> tuple[int, dict[str, Tensor]]:
        """The number of steps and the sums over them; the window is empty then."""
        count, sums = self.count, self.sums
        self.count, self.sums = 0, {}
        return count, sums
