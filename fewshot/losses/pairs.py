"""Anchors and what they are compared with: the arguments of every pair loss outside the generic form."""

from __future__ import annotations

import torch
from torch import Tensor

from fewshot.losses.distances import unit
from fewshot.losses.pair_loss import Relation, check_batch, relation_by_label
from fewshot.losses.similarity import similarities


def compared(
    embeddings: Tensor,
    labels: Tensor,
    others: Tensor | None = None,
    other_labels: Tensor | None = None,
    self_index: Tensor | None = None,
) -> tuple[Tensor, Relation]:
    """The others [n, dim], and which of them are an anchor's positives and negatives, bool [m, n] each.

    Args:
        embeddings: the anchors [m, dim].
        labels: int64 [m].
        others: [n, dim], a memory or the embeddings of all processes. None: the anchors themselves, none
            compared with itself (by index, so a duplicate counts).
        other_labels: int64 [n]; rows with a label below 0 are not there.
        self_index: int64 [m], the row of `others` that is the anchor itself; None: there is none.

    Raises:
        ValueError: shapes that do not fit, others without their labels or the other way round.
    """
    check_batch(embeddings, labels)
    if others is None or other_labels is None:
        if others is not other_labels or self_index is not None:
            raise ValueError("others, other_labels and self_index must be given together")
        itself = torch.arange(len(labels), device=labels.device)
        return embeddings, relation_by_label(labels, labels, itself)
    check_batch(others, other_labels)
    return others, relation_by_label(labels, other_labels, self_index)


def cosines(points: Tensor, others: Tensor) -> Tensor:
    """cos(a, b), [m, n], of [m, dim] and [n, dim]."""
    return similarities(points, others, "cosine")


def unit_distances(points: Tensor, others: Tensor) -> Tensor:
    """sqrt(||a - b||^2 + 1e-6), [m, n], of [m, dim] and [n, dim] divided by their lengths."""
    return -similarities(*_units(points, others), "euclidean")


def _units(points: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Both divided by their lengths; once where they are the same tensor, as `compared` leaves them."""
    units = unit(points)
    return units, units if others is points else unit(others)
