"""What kinds of general episodes there are in common: a task asked for, and how an episode is made up."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fewshot.errors import InputError
from fewshot.sampling.class_table import ClassTable
from fewshot.sampling.general_episodes import Composition, Draw
from fewshot.sampling.without_replacement import without_replacement


class Task(NamedTuple):
    """What was asked for: ways, and supports and queries of each on the whole."""

    ways: int
    shots: int
    queries: int


class EpisodeKind(Protocol):
    """How the episodes of a testbed are made up."""

    def compose(self, table: ClassTable, task: Task, draw: Draw) -> Composition:
        """The classes of episodes and how many images of each.

        Raises:
            InputError: the classes do not allow it.
        """
        ...

    def images_of_class(self, task: Task) -> int:
        """Images that every class must have."""
        ...

    def describe(self, task: Task) -> str:
        """The episodes in words, after which `, 10,000 episodes` can stand."""
        ...


def distinct_classes(table: ClassTable, count: int, draw: Draw, told: str) -> NDArray[np.int64]:
    """Distinct rows of the table int64 [episodes, count], every order as likely.

    Args:
        told: what asks for so many, for the error message: "ways=5".

    Raises:
        InputError: there are not so many classes.
    """
    there = len(table.classes)
    if count > there:
        raise InputError(f"{told}: needs {count} classes, and there are {there}; lower it")
    return without_replacement(draw.words("classes", count), np.full(len(draw.numbers), there))


def everywhere(value: int, like: NDArray[np.int64]) -> NDArray[np.int64]:
    """An array full of `value`, of the shape of `like`."""
    return np.full(like.shape, value, dtype=np.int64)
