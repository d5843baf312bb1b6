"""Episodes whose classes have different numbers of supports, though their sum is always the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fewshot.errors import InputError
from fewshot.sampling.class_table import ClassTable
from fewshot.sampling.episode_kind import Task, distinct_classes, everywhere
from fewshot.sampling.general_episodes import Composition, Draw
from fewshot.sampling.without_replacement import without_replacement

IMBALANCES = ("linear", "step", "random")


@dataclass(frozen=True)
class ImbalancedSupport:
    """ways * shots supports in all, unevenly divided (Ochal et al. 2021, arXiv 2101.02523).

    linear: in equal steps, rounded, from `min_shots` to 2 shots - min_shots. step: half of the classes (of an
    odd number the smaller half) have `min_shots`, the others share the rest. random: `min_shots` each, and of
    all ways to divide the rest each is as likely. Which class has many is drawn.
    The paper fixes the extremes; here the sum is fixed and the upper one follows from it.

    Attributes:
        imbalance: linear, step or random.
        min_shots: supports that every class has at least.
    """

    imbalance: Literal["linear", "step", "random"] = "linear"
    min_shots: int = 1

    def __post_init__(self) -> None:
        if self.imbalance not in IMBALANCES:
            raise InputError(f"episode.imbalance={self.imbalance!r} must be one of {', '.join(IMBALANCES)}")
        if self.min_shots < 1:
            raise InputError(f"episode.min_shots={self.min_shots} must be at least 1")

    def compose(self, table: ClassTable, task: Task, draw: Draw) -> Composition:
        """See `EpisodeKind`."""
        if self.min_shots >= task.shots or task.ways < 2:
            raise InputError(
                f"episode=imbalanced_support: with ways={task.ways} shots={task.shots} and "
                f"episode.min_shots={self.min_shots} nothing is uneven; raise shots (or ways)"
            )
        ways = distinct_classes(table, task.ways, draw, f"ways={task.ways}")
        shots = self._random(task, draw) if self.imbalance == "random" else self._ladder(task)
        return Composition(ways, np.broadcast_to(shots, ways.shape), everywhere(task.queries, ways))

    def _ladder(self, task: Task) -> NDArray[np.int64]:
        """int64 [ways], ascending; the classes come in a random order."""
        ways, least = task.ways, self.min_shots
        if self.imbalance == "step":
            minority = ways // 2
            rest = ways * task.shots - minority * least
            each, over = divmod(rest, ways - minority)
            majority = each + (np.arange(ways - minority) >= ways - minority - over)
            return np.concatenate([np.full(minority, least), majority]).astype(np.int64)
        # Each place and its mirror image add up to 2 shots, so that rounding leaves the sum alone.
        rise = 2 * (task.shots - least) * np.arange(ways // 2)
        lower = least + (2 * rise + ways - 1) // (2 * (ways - 1))
        middle = [task.shots] * (ways % 2)
        return np.concatenate([lower, middle, (2 * task.shots - lower)[::-1]]).astype(np.int64)

    def _random(self, task: Task, draw: Draw) -> NDArray[np.int64]:
        """int64 [episodes, ways]: bars at distinct random places among the rest divide it."""
        rest = task.ways * (task.shots - self.min_shots)
        places = np.full(len(draw.numbers), rest + task.ways - 1)
        bars = np.sort(without_replacement(draw.words("shots", task.ways - 1), places), axis=1)
        between = np.diff(bars, axis=1, prepend=-1, append=rest + task.ways - 1) - 1
        return between + self.min_shots

    def images_of_class(self, task: Task) -> int:
        """See `EpisodeKind`."""
        if self.imbalance == "random":
            most = task.ways * task.shots - (task.ways - 1) * self.min_shots
        else:
            most = int(self._ladder(task).max()) if task.ways > 1 else task.shots
        return most + task.queries

    def describe(self, task: Task) -> str:
        """See `EpisodeKind`."""
        total = f"{task.ways * task.shots} supports in all"
        divided = f"{total} ({self.imbalance}, {self.min_shots} or more a class)"
        return f"{task.ways}-way, {divided}, {task.queries} queries a class"
