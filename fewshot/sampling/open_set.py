"""Episodes with queries of classes that are not in the support."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fewshot.errors import InputError
from fewshot.sampling.class_table import ClassTable
from fewshot.sampling.episode_kind import Task, distinct_classes, everywhere
from fewshot.sampling.general_episodes import Composition, Draw


@dataclass(frozen=True)
class OpenSet:
    """A balanced episode, and queries of further classes to be rejected (Liu et al. 2020, arXiv 2005.13713).

    There are as many queries of each unknown class as of each known one.

    Attributes:
        unknown_ways: classes outside the support.
    """

    unknown_ways: int = 5

    def __post_init__(self) -> None:
        if self.unknown_ways < 1:
            raise InputError(f"episode.unknown_ways={self.unknown_ways} must be at least 1")

    def compose(self, table: ClassTable, task: Task, draw: Draw) -> Composition:
        """See `EpisodeKind`."""
        told = f"ways={task.ways} and episode.unknown_ways={self.unknown_ways}"
        ways = distinct_classes(table, task.ways + self.unknown_ways, draw, told)
        shots = np.where(np.arange(ways.shape[1]) < task.ways, task.shots, 0)
        return Composition(ways, np.broadcast_to(shots, ways.shape), everywhere(task.queries, ways))

    def images_of_class(self, task: Task) -> int:
        """See `EpisodeKind`."""
        return task.shots + task.queries

    def describe(self, task: Task) -> str:
        """See `EpisodeKind`."""
        return f"{task.ways}-way and {self.unknown_ways} unknown classes, {task.queries} queries a class"
