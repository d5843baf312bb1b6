"""Ordered samples without replacement, drawn for many rows at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def without_replacement(bits: NDArray[np.uint64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """For every row a uniformly random ordered sample of distinct numbers below the row's size.

    Args:
        bits: uint64 [n, k], random words (see `fewshot.randomness.stream_bits`).
        sizes: int64 [n], every one at least k and below 2**32.

    Returns:
        int64 [n, k], row i holds k distinct numbers of range(sizes[i]).

    These are the first k steps of a Fisher-Yates shuffle of range(size), without the array that is
    shuffled: step i swaps position i with a position r_i >= i, so the number found at a position
    is the one that the latest earlier swap put there, or the position itself. It costs k^2
    comparisons a row however large the size is. A draw below m takes the upper 32 bits of a word
    times m (Lemire 2019); the bias is below m / 2**32.
    """
    rows, count = bits.shape
    if np.any(sizes < count):
        raise ValueError(f"cannot draw {count} distinct numbers out of {int(sizes.min())}")
    high = bits >> np.uint64(32)
    steps = np.arange(count, dtype=np.uint64)
    left = sizes.astype(np.uint64)[:, None] - steps
    # Kept with the step first, so that each comparison below reads one contiguous row.
    target = ((steps + ((high * left) >> np.uint64(32))).astype(np.int64)).T.copy()
    moved = np.empty((count, rows), dtype=np.int64)
    drawn = np.empty((count, rows), dtype=np.int64)
    for step in range(count):
        here = np.full(rows, step, dtype=np.int64)
        there = target[step].copy()
        for earlier in range(step):
            np.copyto(here, moved[earlier], where=target[earlier] == step)
            np.copyto(there, moved[earlier], where=target[earlier] == target[step])
        moved[step] = here
        drawn[step] = there
    return np.ascontiguousarray(drawn.T)
