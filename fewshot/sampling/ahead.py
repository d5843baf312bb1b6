"""Steps drawn many at a time: most of the cost of a small draw is that of calling NumPy at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Drawn = TypeVar("Drawn")

STEPS = 64
"""Drawn at once: so many that a step's share of the calls is small, so few that a run starts at once."""


class Ahead(Generic[Drawn]):
    """What a sampler draws, block by block of `STEPS` steps; asked for any step in any order.

    Args:
        draw: the draws of the steps int64 [n], one for each; a step's draw depends on its number alone.
    """

    def __init__(self, draw: Callable[[NDArray[np.int64]], Sequence[Drawn]]) -> None:
        self._draw = draw
        self._block = -1
        self._drawn: Sequence[Drawn] = ()

    def __call__(self, step: int) -> Drawn:
        block, place = divmod(step, STEPS)
        if block != self._block:
            self._drawn = self._draw(np.arange(block * STEPS, (block + 1) * STEPS, dtype=np.int64))
            self._block = block
        return self._drawn[place]
