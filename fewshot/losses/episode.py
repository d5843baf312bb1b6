"""What episodic losses share: the shapes of an episode, its labels, cross-entropy over its classes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def as_episodes(support: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
    """Support and query with their leading dimension of episodes.

    Args:
        support: [episodes, ways, shots, dim], or [ways, shots, dim] for one episode.
        query: [episodes, ways, queries, dim], or [ways, queries, dim].

    Raises:
        ValueError: other shapes, an empty dimension, or supports and queries that do not belong together.
    """
    given = f"{list(support.shape)} and {list(query.shape)}"
    if support.ndim == 3 and query.ndim == 3:
        support, query = support[None], query[None]
    fits = support.ndim == query.ndim == 4 and support.shape[:2] == query.shape[:2]
    if not fits or support.shape[3] != query.shape[3] or 0 in support.shape or 0 in query.shape:
        raise ValueError(
            "expected support [episodes, ways, shots, dim] and query [episodes, ways, queries, dim], "
            f"none empty; got {given}"
        )
    return support, query


def class_labels(images: Tensor) -> Tensor:
    """int64 [ways * count], the class of each image of [episodes, ways, count, dim] in its flat order."""
    return torch.arange(images.shape[1], device=images.device).repeat_interleave(images.shape[2])


def query_cross_entropy(logits: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy of the queries of all episodes, a 0-d tensor.

    Args:
        logits: [episodes, ways, queries, ways]; the second dimension is the true class.
        label_smoothing: share of the target spread evenly over all the classes.
    """
    episodes, _, queries, ways = logits.shape
    target = torch.arange(ways, device=logits.device)[None, :, None].expand(episodes, ways, queries)
    return F.cross_entropy(logits.flatten(0, 2), target.flatten(), label_smoothing=label_smoothing)
