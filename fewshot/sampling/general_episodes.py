"""General episodes: classes of different sizes, and queries that belong to none of the support."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fewshot.randomness import stream_bits
from fewshot.sampling.class_table import ClassTable
from fewshot.sampling.without_replacement import without_replacement

PADDING = -1
OUTSIDE = -2
"""The label of a query whose class has no support in the episode."""


class GeneralEpisodes(NamedTuple):
    """Some episodes as numbers of images, with labels. Padding may stand anywhere, with label PADDING.

    Attributes:
        support: int64 [episodes, n], image numbers.
        support_labels: int64 [episodes, n], from 0 to ways - 1 of its episode, each at least once.
        query: int64 [episodes, m], image numbers.
        query_labels: int64 [episodes, m], as the support's, or OUTSIDE.
        classes: int64 [episodes, most ways], the class number behind each label; padded.
    """

    support: NDArray[np.int64]
    support_labels: NDArray[np.int64]
    query: NDArray[np.int64]
    query_labels: NDArray[np.int64]
    classes: NDArray[np.int64]

    @property
    def ways(self) -> NDArray[np.int64]:
        """int64 [episodes], classes of each support."""
        ways: NDArray[np.int64] = self.support_labels.max(axis=1) + 1
        return ways

    @property
    def images(self) -> NDArray[np.int64]:
        """int64 [n], the numbers of all images, ascending."""
        found = np.unique(np.concatenate([self.support.ravel(), self.query.ravel()]))
        images: NDArray[np.int64] = found[found != PADDING]
        return images

    def first(self, count: int) -> GeneralEpisodes:
        """The first `count` episodes."""
        return GeneralEpisodes(*(array[:count] for array in self))


class Composition(NamedTuple):
    """How many images of which classes some episodes have; padded rows have neither supports nor queries.

    Attributes:
        ways: int64 [episodes, most], rows of the class table, distinct within an episode; those with supports
            come first.
        shots: int64 [episodes, most], supports of each; 0 of a class outside the support.
        queries: int64 [episodes, most].
    """

    ways: NDArray[np.int64]
    shots: NDArray[np.int64]
    queries: NDArray[np.int64]


class Draw(NamedTuple):
    """Where the random numbers of some episodes come from: (seed, stream, their global numbers)."""

    seed: int
    stream: str
    numbers: NDArray[np.int64]

    def words(self, what: str, count: int) -> NDArray[np.uint64]:
        """uint64 [episodes, count] for one purpose."""
        return stream_bits(self.seed, f"{self.stream} {what}", self.numbers, count)

    def uniform(self, what: str, count: int) -> NDArray[np.float64]:
        """float64 [episodes, count], strictly between 0 and 1."""
        whole = (self.words(what, count) >> np.uint64(12)).astype(np.float64)
        return (whole + 0.5) / 2.0**52


def draw_images(table: ClassTable, made: Composition, draw: Draw) -> GeneralEpisodes:
    """Draw the images of each class without replacement: supports and queries are disjoint.

    An episode depends on its own composition and number alone, but for the padding at its end.
    """
    episodes, most = made.ways.shape
    wanted = (made.shots + made.queries).reshape(-1)
    # Each class of an episode has a row of words of its own, whose beginning does not depend on its length.
    rows = Draw(draw.seed, draw.stream, (draw.numbers[:, None] * most + np.arange(most)).reshape(-1))
    words = rows.words("images", int(wanted.max()))
    ways = made.ways.reshape(-1)
    places = without_replacement(words, np.where(wanted > 0, table.counts[ways], 1), wanted)
    rank = np.arange(places.shape[1])
    images = table.images[ways[:, None], np.where(rank < wanted[:, None], places, 0)]
    supports = rank < made.shots.reshape(-1)[:, None]
    queries = ~supports & (rank < wanted[:, None])
    labels = np.where(made.shots > 0, np.arange(most), OUTSIDE).reshape(-1)[:, None]
    labels = np.broadcast_to(labels, images.shape).reshape(episodes, -1)
    flat = images.reshape(episodes, -1)
    parts = []
    for chosen in (supports.reshape(episodes, -1), queries.reshape(episodes, -1)):
        width = int(chosen.sum(axis=1).max())
        order = np.argsort(~chosen, axis=1, kind="stable")[:, :width]
        there = np.take_along_axis(chosen, order, axis=1)
        parts.append(
            [np.where(there, np.take_along_axis(array, order, axis=1), PADDING) for array in (flat, labels)]
        )
    known = int((made.shots > 0).sum(axis=1).max())
    classes = np.where(made.shots > 0, table.classes[made.ways], PADDING)[:, :known]
    (support, support_labels), (query, query_labels) = parts
    return GeneralEpisodes(support, support_labels, query, query_labels, classes)
