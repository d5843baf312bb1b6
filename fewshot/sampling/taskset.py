"""Our episodes as learn2learn's tasks, for loops written for its `Taskset`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from fewshot.data.catalogue import open_image_set
from fewshot.data.image_set import ImageSet
from fewshot.data.source import Source
from fewshot.errors import InputError
from fewshot.sampling.class_table import ClassTable
from fewshot.sampling.episodes import EpisodeSampler


@dataclass
class Taskset:
    """A stand-in for `learn2learn.data.Taskset`, which needs no learn2learn.

    A task is (data float32 [n, channels, height, width] in [0, 1], labels int64 [n]), n = ways * (shots +
    queries), in the order that the examples of learn2learn divide by: the supports are at the even places
    0, 2, ..., 2 * (ways * shots - 1), the queries at all others; both way by way. Labels are 0 to ways - 1.
    Task number i depends on (seed, stream, i) alone.

    Attributes:
        image_set: where the images are.
        sampler: draws the episodes.
        num_tasks: of one pass; -1 for no end, in which case the length is 1, as there.

    Raises:
        InputError: fewer queries than shots, which that order has no place for; `num_tasks` of 0.
    """

    image_set: ImageSet
    sampler: EpisodeSampler
    num_tasks: int = -1
    _sampled: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        shots, queries = self.sampler.shots, self.sampler.queries
        if queries < shots:
            raise InputError(
                f"queries={queries} must be at least shots={shots}: learn2learn's examples take every other "
                "image for the support"
            )
        if self.num_tasks != -1 and self.num_tasks < 1:
            raise InputError(f"num_tasks={self.num_tasks} must be at least 1, or -1 for no end")

    @classmethod
    def of(
        cls,
        source: Source,
        part: str,
        *,
        ways: int,
        shots: int,
        queries: int,
        seed: int = 0,
        num_tasks: int = -1,
    ) -> Taskset:
        """The tasks of one part of a data set.

        Args:
            source: packed now if it is not; nothing is downloaded.
            part: train, val or test.
            ways, shots, queries: size of a task; queries a class. There, shots = queries = half the samples.
            seed: of the tasks.

        Raises:
            InputError: no files, no such part, or classes too few or too small.
        """
        image_set = open_image_set(source)
        table = ClassTable.of(image_set, source.class_split(image_set.class_names).part(part))
        sampler = EpisodeSampler(table, ways, shots, queries, seed, f"{part} taskset")
        return cls(image_set, sampler, num_tasks)

    def __len__(self) -> int:
        return max(1, self.num_tasks)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        """The task of that number.

        Raises:
            IndexError: there are not so many.
        """
        if number < 0 or 0 < self.num_tasks <= number:
            raise IndexError(f"task {number} of {self.num_tasks}")
        sampler = self.sampler
        images = sampler.draw(np.array([number])).images[0]
        support = images[:, : sampler.shots].reshape(-1)
        rest = images[:, sampler.shots :].reshape(-1)
        at_even = np.zeros(images.size, dtype=bool)
        at_even[2 * np.arange(len(support))] = True
        order = np.empty(images.size, dtype=np.int64)
        labels = np.empty(images.size, dtype=np.int64)
        order[at_even], order[~at_even] = support, rest
        ways = np.arange(sampler.ways)
        labels[at_even], labels[~at_even] = ways.repeat(sampler.shots), ways.repeat(sampler.queries)
        return self.image_set.gather(order).float() / 255, torch.from_numpy(labels)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """All tasks from the first on; without end if `num_tasks` is -1."""
        number = 0
        while self.num_tasks == -1 or number < self.num_tasks:
            yield self[number]
            number += 1

    def sample(self) -> tuple[Tensor, Tensor]:
        """The next task of this object; after the last, the first again."""
        number = self._sampled if self.num_tasks == -1 else self._sampled % self.num_tasks
        self._sampled += 1
        return self[number]
