"""Episodes whose queries are unevenly divided among the classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv

from fewshot.errors import InputError
from fewshot.sampling.class_table import ClassTable
from fewshot.sampling.episode_kind import Task, distinct_classes, everywhere
from fewshot.sampling.general_episodes import Composition, Draw


@dataclass(frozen=True)
class DirichletQueries:
    """ways * queries queries in all, in proportions p ~ Dirichlet(alpha) (alpha-TIM, arXiv 2106.11980).

    The counts are p times the total, rounded so that the total stays; a class gives no more images than it
    has left, and some give none. The smaller alpha, the more uneven; the paper's is 2. Supports are balanced.

    Attributes:
        alpha: of the symmetric Dirichlet distribution, above 0.
    """

    alpha: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.alpha < np.inf:
            raise InputError(f"episode.alpha={self.alpha} must be above 0")

    def compose(self, table: ClassTable, task: Task, draw: Draw) -> Composition:
        """See `EpisodeKind`."""
        ways = distinct_classes(table, task.ways, draw, f"ways={task.ways}")
        # Gamma variates by the inverse of their distribution: one uniform number each.
        gamma = gammaincinv(self.alpha, draw.uniform("proportions", task.ways))
        gamma = np.maximum(gamma, np.finfo(np.float64).tiny)  # where alpha is so small that all underflow
        wished = gamma / gamma.sum(axis=1, keepdims=True) * (task.ways * task.queries)
        counts = rounded(wished, table.counts[ways] - task.shots, task.ways * task.queries)
        return Composition(ways, everywhere(task.shots, ways), counts)

    def images_of_class(self, task: Task) -> int:
        """See `EpisodeKind`."""
        return task.shots + task.queries

    def describe(self, task: Task) -> str:
        """See `EpisodeKind`."""
        total = f"{task.ways * task.queries} queries in all (Dirichlet, alpha {self.alpha:g})"
        return f"{task.ways}-way, {total}"


def rounded(wished: NDArray[np.float64], most: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """Integers int64 [n, k] near `wished` [n, k], at most `most` [n, k], that add up to `total` in each row.

    They are rounded down, and what is missing goes one by one to the place that lacks most (the method of
    largest remainders, where no place is full).
    """
    counts = np.minimum(np.floor(wished).astype(np.int64), most)
    while True:
        short = np.flatnonzero(counts.sum(axis=1) < total)
        if not len(short):
            return counts
        lack = np.where(counts[short] < most[short], wished[short] - counts[short], -np.inf)
        counts[short, lack.argmax(axis=1)] += 1
