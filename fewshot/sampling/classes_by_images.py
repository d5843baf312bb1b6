"""Class-balanced batches, P classes x K images: every anchor has positives, and the same number of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fewshot.errors import InputError
from fewshot.randomness import stream_bits
from fewshot.sampling.ahead import Ahead
from fewshot.sampling.class_table import ClassTable
from fewshot.sampling.without_replacement import without_replacement


@dataclass(frozen=True)
class ClassesByImages:
    """Batches of `classes` distinct classes, `images` of each: the PK batches of Hermans et al. 2017
    (arXiv 1703.07737, section 2), 20 x 5 on SOP and In-Shop in Metrix (arXiv 2106.04990).

    The images of a class are distinct where it has `images` of them; of a smaller class they are drawn with
    replacement. The number of the step is the sampler's whole state.

    Attributes:
        table: the classes drawn from, each with an image at least.
        classes: in one training step (P).
        images: of each of these classes (K).
        seed, stream: key of the random numbers.
    """

    table: ClassTable
    classes: int = 20
    images: int = 5
    seed: int = 0
    stream: str = "train"

    def __post_init__(self) -> None:
        require_classes_by_images(self.table, self.classes, self.images, self.stream)

    @property
    def steps_per_epoch(self) -> int:
        """As many as show each image about once: images of the table // (P K), at least 1."""
        return max(1, int(self.table.counts.sum()) // (self.classes * self.images))

    def step(self, step: int) -> NDArray[np.int64]:
        """int64 [classes * images], the images of training step `step`, class by class."""
        return self._ahead(step)

    @cached_property
    def _ahead(self) -> Ahead[NDArray[np.int64]]:
        return Ahead(self._steps)

    def _steps(self, steps: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        words = stream_bits(self.seed, self.stream, steps, self.classes * (1 + self.images))
        pool = np.full(len(steps), len(self.table.classes), dtype=np.int64)
        rows = without_replacement(words[:, : self.classes], pool)
        each = words[:, self.classes :].reshape(-1, self.images)
        return list(draw_images(self.table, rows.reshape(-1), each).reshape(len(steps), -1))


def words_of_step(seed: int, stream: str, step: int, classes: int, images: int) -> NDArray[np.uint64]:
    """uint64 [classes + classes * images], random words: one for each class, then one for each image."""
    return stream_bits(seed, stream, np.array([step]), classes * (1 + images)).reshape(-1)


def draw_classes(table: ClassTable, words: NDArray[np.uint64]) -> NDArray[np.int64]:
    """int64 [classes], distinct rows of a table, from as many random words."""
    return without_replacement(words[None], np.array([len(table.classes)])).reshape(-1)


def draw_images(table: ClassTable, rows: NDArray[np.int64], words: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Images of some classes of a table.

    Args:
        rows: int64 [classes], rows of the table.
        words: uint64 [classes, images], random.

    Returns:
        int64 [classes * images], class by class; distinct within a class that has `images` of them, else
        drawn with replacement.
    """
    images = words.shape[1]
    counts = table.counts[rows]
    distinct = without_replacement(words, np.maximum(counts, images))
    repeated = ((words >> np.uint64(32)) * counts.astype(np.uint64)[:, None]) >> np.uint64(32)
    places = np.where(counts[:, None] >= images, distinct, repeated.astype(np.int64))
    return table.images[rows[:, None], places].reshape(-1)


def require_classes_by_images(table: ClassTable, classes: int, images: int, stream: str) -> None:
    """Refuse a number of classes or images that the table cannot give.

    Raises:
        InputError: fewer than 1, more classes than there are, or a class without images.
    """
    for name, value in (("classes", classes), ("images", images)):
        if value < 1:
            raise InputError(f"sampler.{name}={value} for {stream} must be at least 1")
    if classes > len(table.classes):
        raise InputError(
            f"sampler.classes={classes}, but there are only {len(table.classes)} classes for {stream}: "
            f"lower sampler.classes"
        )
    empty = np.flatnonzero(table.counts == 0)
    if len(empty):
        raise InputError(
            f"class {table.names[empty[0]]!r} has no image ({len(empty)} such classes for {stream}): "
            f"leave it out of the split"
        )
