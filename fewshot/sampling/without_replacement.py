"""Ordered samples without replacement, drawn for many rows at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def without_replacement(
    bits: NDArray[np.uint64], sizes: NDArray[np.int64], wanted: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """For every row a uniformly random ordered sample of distinct numbers below the row's size.

    Args:
        bits: uint64 [n, k], random words (see `fewshot.randomness.stream_bits`).
        sizes: int64 [n], every one at least what is wanted of its row, and below 2**32.
        wanted: int64 [n], how many of the k numbers of each row are used; None: all.

    Returns:
        int64 [n, k], row i begins with wanted[i] distinct numbers of range(sizes[i]), which do not depend
        on k; what follows them means nothing.

    These are the first k steps of a Fisher-Yates shuffle of range(size), without the array that is
    shuffled: step i swaps position i with a position r_i >= i, so the number found at a position
    is the one that the latest earlier swap put there, or the position itself. It costs k^2
    comparisons a row however large the size is. A draw below m takes the upper 32 bits of a word
    times m (Lemire 2019); the bias is below m / 2**32.
    """
    rows, count = bits.shape
    lacking = sizes < (count if wanted is None else wanted)
    if np.any(lacking):
        most = count if wanted is None else int(wanted[lacking].max())
        raise ValueError(f"cannot draw {most} distinct numbers out of {int(sizes[lacking].min())}")
    high = bits >> np.uint64(32)
    steps = np.arange(count, dtype=np.uint64)
    left = np.maximum(sizes[:, None] - np.arange(count), 1).astype(np.uint64)
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
