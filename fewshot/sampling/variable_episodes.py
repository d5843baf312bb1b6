"""Episodes with variable ways and shots."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fewshot.errors import InputError
from fewshot.sampling.class_table import ClassTable
from fewshot.sampling.episode_kind import Task, distinct_classes
from fewshot.sampling.general_episodes import Composition, Draw


@dataclass(frozen=True)
class VariableEpisodes:
    """Each episode has its own number of ways, and each of its classes its own number of shots.

    A simplification of Meta-Dataset (Triantafillou et al. 2020, arXiv 1903.03096):
    both numbers are uniform in a range, where Meta-Dataset bounds them by the classes and images that a data
    set has, and lets the shots follow the sizes of the classes. Queries are equally many of each class, as
    there. Accuracy is a mean over episodes with different chances of a guess.

    Attributes:
        min_ways: the least; the most are the task's ways.
        min_shots: the least; the most are the task's shots.
    """

    min_ways: int = 2
    min_shots: int = 1

    def __post_init__(self) -> None:
        if self.min_ways < 2:
            raise InputError(f"episode.min_ways={self.min_ways} must be at least 2")
        if self.min_shots < 1:
            raise InputError(f"episode.min_shots={self.min_shots} must be at least 1")

    def compose(self, table: ClassTable, task: Task, draw: Draw) -> Composition:
        """See `EpisodeKind`."""
        for name in ("ways", "shots"):
            least, most = getattr(self, f"min_{name}"), getattr(task, name)
            if least > most:
                raise InputError(
                    f"episode.min_{name}={least} is above {name}={most}: {name} is the most; raise it"
                )
        ways = distinct_classes(table, task.ways, draw, f"ways={task.ways}")
        spread = task.ways - self.min_ways + 1
        count = self.min_ways + np.floor(draw.uniform("ways", 1) * spread).astype(np.int64)
        used = np.arange(task.ways) < count
        spread = task.shots - self.min_shots + 1
        shots = self.min_shots + np.floor(draw.uniform("shots", task.ways) * spread).astype(np.int64)
        return Composition(ways, np.where(used, shots, 0), np.where(used, task.queries, 0))

    def images_of_class(self, task: Task) -> int:
        """See `EpisodeKind`."""
        return task.shots + task.queries

    def describe(self, task: Task) -> str:
        """See `EpisodeKind`."""
        ways, shots = f"{self.min_ways} to {task.ways}", f"{self.min_shots} to {task.shots}"
        return f"variable, {ways} ways, {shots} shots a class, {task.queries} queries a class"
