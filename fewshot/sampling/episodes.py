"""Balanced episodes: N classes, and of each the same number of support and query images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fewshot.errors import InputError
from fewshot.randomness import stream_bits
from fewshot.sampling.ahead import Ahead
from fewshot.sampling.class_table import ClassTable
from fewshot.sampling.without_replacement import without_replacement


class Episodes(NamedTuple):
    """Some episodes as numbers of images.

    Attributes:
        images: int64 [episodes, ways, shots + queries]; the first `shots` of a row are the support.
        ways: int64 [episodes, ways], which rows of the class table were drawn.
    """

    images: NDArray[np.int64]
    ways: NDArray[np.int64]


@dataclass(frozen=True)
class EpisodeSampler:
    """Draws episodes by their global number; the number is the sampler's whole state.

    Support and query are disjoint by construction: the shots + queries images of a class are one
    sample without replacement.

    Attributes:
        table: the classes drawn from.
        ways, shots, queries: the size of an episode; queries are counted a class.
        episodes: how many episodes make one training step.
        episodes_per_epoch: what an epoch means where a schedule counts epochs.
        seed, stream: key of the random numbers.
    """

    table: ClassTable
    ways: int
    shots: int
    queries: int
    seed: int
    stream: str
    episodes: int = 1
    episodes_per_epoch: int = 100

    def __post_init__(self) -> None:
        for name in ("ways", "shots", "queries", "episodes", "episodes_per_epoch"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}={getattr(self, name)} for {self.stream} must be at least 1")
        if self.ways > len(self.table.classes):
            raise InputError(
                f"ways={self.ways}, but there are only {len(self.table.classes)} classes for {self.stream}: "
                f"lower ways"
            )
        needed = self.shots + self.queries
        fewest = int(np.argmin(self.table.counts))
        if self.table.counts[fewest] < needed:
            short = int((self.table.counts < needed).sum())
            raise InputError(
                f"class {self.table.names[fewest]!r} has {self.table.counts[fewest]} images, but "
                f"shots={self.shots} + queries={self.queries} needs {needed} ({short} such classes for "
                f"{self.stream}): lower shots or queries"
            )

    @property
    def steps_per_epoch(self) -> int:
        return max(1, self.episodes_per_epoch // self.episodes)

    def draw(self, index: NDArray[np.int64]) -> Episodes:
        """The episodes with these global numbers.

        Args:
            index: int64 [episodes].
        """
        each = self.shots + self.queries
        words = stream_bits(self.seed, self.stream, index, self.ways * (1 + each))
        pool = np.full(len(index), len(self.table.classes), dtype=np.int64)
        ways = without_replacement(words[:, : self.ways], pool)
        counts = self.table.counts[ways].reshape(-1)
        places = without_replacement(words[:, self.ways :].reshape(-1, each), counts)
        images = self.table.images[ways.reshape(-1)[:, None], places]
        return Episodes(images.reshape(len(index), self.ways, each), ways)

    def step(self, step: int) -> Episodes:
        """The episodes of training step `step`."""
        return self._ahead(step)

    @cached_property
    def _ahead(self) -> Ahead[Episodes]:
        return Ahead(self._steps)

    def _steps(self, steps: NDArray[np.int64]) -> list[Episodes]:
        index = steps[:, None] * self.episodes + np.arange(self.episodes)
        drawn = self.draw(index.reshape(-1))
        each = [array.reshape(len(steps), self.episodes, *array.shape[1:]) for array in drawn]
        return [Episodes(*parts) for parts in zip(*each, strict=True)]
