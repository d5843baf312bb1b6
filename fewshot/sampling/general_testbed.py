"""Testbeds of general episodes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fewshot.errors import InputError
from fewshot.sampling.class_table import ClassTable
from fewshot.sampling.episode_kind import EpisodeKind, Task
from fewshot.sampling.general_episodes import Draw, GeneralEpisodes, draw_images
from fewshot.sampling.testbed import Testbed


@dataclass(frozen=True)
class GeneralTestbed:
    """A fixed list of general episodes of one split.

    Attributes:
        split, task, seed: as drawn.
        told: the episodes in words.
        episodes: the images and their labels.
        sha256: of the shapes and bytes of `episodes`: two results are comparable episode by episode if theirs
            are equal and the image sets are.
    """

    split: str
    task: Task
    seed: int
    told: str
    episodes: GeneralEpisodes
    sha256: str

    def __len__(self) -> int:
        return len(self.episodes.query)

    @property
    def images(self) -> NDArray[np.int64]:
        """int64 [n], the numbers of all its images, ascending."""
        return self.episodes.images


def draw_general_testbed(
    table: ClassTable, split: str, kind: EpisodeKind, task: Task, *, episodes: int, seed: int
) -> GeneralTestbed:
    """The testbed (split, kind, task, episodes, seed) of a class table.

    A longer testbed begins with the shorter one of the same key, but for the padding.

    Raises:
        InputError: too few classes, or a class with too few images.
    """
    for name, value in (*task._asdict().items(), ("episodes", episodes)):
        if value < 1:
            raise InputError(f"{name}={value} for {split} testbed must be at least 1")
    draw = Draw(seed, f"{split} {type(kind).__name__} testbed", np.arange(episodes, dtype=np.int64))
    made = kind.compose(table, task, draw)
    needed = kind.images_of_class(task)
    fewest = int(np.argmin(table.counts))
    if table.counts[fewest] < needed:
        raise InputError(
            f"class {table.names[fewest]!r} has {table.counts[fewest]} images, but these episodes with "
            f"shots={task.shots} queries={task.queries} may need {needed}: lower shots or queries"
        )
    found = draw_images(table, made, draw)
    digest = hashlib.sha256()
    for array in found:
        digest.update(repr(array.shape).encode())
        digest.update(array.astype("<i8").tobytes())
    return GeneralTestbed(split, task, seed, kind.describe(task), found, digest.hexdigest())


def general_form(testbed: Testbed, shots: int) -> GeneralEpisodes:
    """Balanced episodes, of which the first `shots` supports are kept, in the general form."""
    episodes, ways, _ = testbed.images.shape

    def flat(images: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        labels = np.repeat(np.arange(ways), images.shape[2])
        return images.reshape(episodes, -1), np.broadcast_to(labels, (episodes, len(labels)))

    support, query = testbed.images[:, :, :shots], testbed.images[:, :, testbed.shots :]
    return GeneralEpisodes(*flat(support), *flat(query), testbed.classes)
