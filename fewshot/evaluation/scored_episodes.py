"""A classifier's scores on general episodes, those of one shape at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fewshot.evaluation.blocks_that_fit import blocks_that_fit
from fewshot.evaluation.classifiers.classifier import Classifier
from fewshot.evaluation.classifiers.nearest_prototype import class_means
from fewshot.evaluation.embeddings import Embeddings, require_finite
from fewshot.evaluation.unlikeness import Space
from fewshot.sampling.general_episodes import PADDING, GeneralEpisodes


class Scored(NamedTuple):
    """What a classifier says of some episodes of one shape, whose m queries are none of them padding."""

    episodes: NDArray[np.int64]
    """[e], their places among all."""
    scores: Tensor
    """float [e, m, ways], see `Fitted`."""
    labels: Tensor
    """int64 [e, m], or OUTSIDE."""
    columns: NDArray[np.int64]
    """[e, m], the columns of the queries in `GeneralEpisodes.query`."""
    distances: Tensor
    """float [e, m], to the nearest class mean, in the classifier's own space (see `Space`)."""


def parts_of_one_shape(
    embeddings: Embeddings, episodes: GeneralEpisodes, classifier: Classifier, block: int | None = None
) -> list[NDArray[np.int64]]:
    """Places of episodes with as many ways, supports and queries, in parts that are worked on at once.

    Args:
        block: episodes in a part at most; None fits them to the processor's cache or the device's memory.
    """
    sizes = [(labels != PADDING).sum(axis=1) for labels in (episodes.support_labels, episodes.query_labels)]
    _, shape = np.unique(np.stack([episodes.ways, *sizes], axis=1), axis=0, return_inverse=True)
    features = embeddings.features
    budget = classifier.block_bytes if features.device.type == "cpu" else 256 << 20
    parts = []
    for number in range(int(shape.max()) + 1):
        places = np.flatnonzero(shape.reshape(-1) == number)
        images = int(sum(size[places[0]] for size in sizes))
        each = block or max(1, budget // (images * features.shape[1] * features.element_size()))
        parts += [places[start : start + each] for start in range(0, len(places), each)]
    return parts


def score(
    embeddings: Embeddings,
    episodes: GeneralEpisodes,
    classifier: Classifier,
    parts: Sequence[NDArray[np.int64]],
) -> Iterator[Scored]:
    """Fit and score the episodes, part by part.

    Padding is taken away before a classifier sees anything, so that it can't have an influence, and any
    classifier that takes classes of different sizes works as it is.

    Args:
        embeddings: of all images of the episodes; the work is done where they are.
        parts: places of episodes of one shape, as `parts_of_one_shape` gives them.

    Raises:
        InputError: an embedding is not finite; not even one episode fits into memory.
        ValueError: an image was not embedded.
    """
    features = embeddings.features
    require_finite(features, embeddings.images)
    space = Space.of(classifier)

    def tensor(array: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(features.device)

    def scored(whole: NDArray[np.int64], rows: slice) -> Scored:
        part = whole[rows]
        s_columns, q_columns = _real(episodes.support_labels[part]), _real(episodes.query_labels[part])
        support, labels, query, truth = (
            np.take_along_axis(array[part], columns, axis=1)
            for array, columns in (
                (episodes.support, s_columns),
                (episodes.support_labels, s_columns),
                (episodes.query, q_columns),
                (episodes.query_labels, q_columns),
            )
        )
        ways = int(labels.max()) + 1
        with torch.inference_mode():
            known, asked = (features[tensor(embeddings.rows_of(images))] for images in (support, query))
            scores = classifier.fit_labelled(known, tensor(labels), ways).predict(asked)
            distances = _nearest_mean(space, known, tensor(labels), asked, ways)
        return Scored(part, scores, tensor(truth), q_columns, distances)

    for part in parts:
        for _, made in blocks_that_fit([slice(0, len(part))], partial(scored, part), "an episode"):
            yield made


def _real(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64 [e, m], the columns that hold no padding, in order; every row has as many."""
    padding = labels == PADDING
    count = labels.shape[1] - int(padding[0].sum())
    return np.argsort(padding, axis=1, kind="stable")[:, :count]


def _nearest_mean(space: Space, support: Tensor, labels: Tensor, query: Tensor, ways: int) -> Tensor:
    means = space.points(class_means(space.vectors(support), labels, ways))
    points = space.points(space.vectors(query))
    return torch.cdist(points, means, compute_mode="donot_use_mm_for_euclid_dist").amin(dim=-1)
