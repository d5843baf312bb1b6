"""Testbeds: fixed episodes that every method faces."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fewshot.errors import InputError
from fewshot.sampling.class_table import ClassTable
from fewshot.sampling.episodes import EpisodeSampler


@dataclass(frozen=True)
class Testbed:
    """A fixed list of episodes of one split.

    Attributes:
        split: name of the split, part of the key of the random numbers.
        ways, shots, queries, seed: as drawn.
        images: int64 [episodes, ways, shots + queries], image numbers in the image set.
        classes: int64 [episodes, ways], class numbers in the image set.
        sha256: of the shape and the bytes of `images`: two results are comparable episode by
            episode if theirs are equal and the image sets are.
    """

    __test__ = False  # or pytest takes the name for a test

    split: str
    ways: int
    shots: int
    queries: int
    seed: int
    images: NDArray[np.int64]
    classes: NDArray[np.int64]
    sha256: str

    def __len__(self) -> int:
        return len(self.images)


def draw_testbed(
    table: ClassTable, split: str, *, ways: int, shots: int, queries: int, episodes: int, seed: int
) -> Testbed:
    """The testbed (split, ways, shots, queries, episodes, seed) of a class table.

    A longer testbed begins with the shorter one of the same key.

    Raises:
        InputError: more ways than classes, or a class with fewer than shots + queries images.
    """
    if episodes < 1:
        raise InputError(f"episodes={episodes} for {split} testbed must be at least 1")
    sampler = EpisodeSampler(table, ways, shots, queries, seed, f"{split} testbed")
    drawn = sampler.draw(np.arange(episodes, dtype=np.int64))
    little_endian = drawn.images.astype("<i8")
    digest = hashlib.sha256(repr(little_endian.shape).encode())
    digest.update(little_endian.tobytes())
    return Testbed(
        split, ways, shots, queries, seed, drawn.images, table.classes[drawn.ways], digest.hexdigest()
    )
