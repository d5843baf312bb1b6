"""Random numbers as a pure function of (seed, stream, index).

Nothing in this package draws from a global generator. Whoever needs randomness names a stream
("train episodes", "augment", ...) and the global number of the episode, batch or step it draws
for. So the state of a sampler is one integer, resuming is exact, and the share of work of each
process changes nothing that is drawn.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea & Flood 2014), elementwise: a bijection of 64 bits."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def stream_key(seed: int, stream: str) -> int:
    """A 64-bit key for one named stream of one seed."""
    digest = hashlib.blake2b(f"{seed}/{stream}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def stream_bits(seed: int, stream: str, index: NDArray[np.int64], count: int) -> NDArray[np.uint64]:
    """`count` random 64-bit words for every index.

    Args:
        seed: of the run or testbed.
        stream: what the numbers are for; different names are independent.
        index: int64 [n], the global numbers of the episodes or batches.
        count: words for each index.

    Returns:
        uint64 [n, count]. Row i depends on (seed, stream, index[i]) alone: SplitMix64 started at
        a mixed key, so that rows can be drawn in any order and in any company.
    """
    key = np.uint64(stream_key(seed, stream))
    with np.errstate(over="ignore"):
        start = _mix(key ^ _mix(np.asarray(index).astype(np.uint64) + _GOLDEN))
        steps = (np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN)[None, :]
        return _mix(start[:, None] + steps)


def generator(seed: int, stream: str, index: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A torch generator on `device` that depends on (seed, stream, index) alone."""
    word = int(stream_bits(seed, stream, np.array([index]), 1)[0, 0])
    made = torch.Generator(device=device)
    made.manual_seed(word >> 1)
    return made
