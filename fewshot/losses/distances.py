"""Distances and cosines of embeddings, as the losses of this room need them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SQUARE_OFFSET = 1e-6
"""Added to a squared distance before its root, so that the gradient of a distance of 0 is 0 and not NaN."""

SHORTEST_NORM = 1e-4
"""Shorter vectors are divided by this, so that the cosine of a vanishing embedding has a bounded gradient."""


def euclidean(points: Tensor, others: Tensor) -> Tensor:
    """d(a, b) = sqrt(||a - b||^2 + 1e-6) of matching rows, from their difference; at least 1e-3.

    Args:
        points, others: [..., dim], broadcast against each other.

    Returns:
        [...].
    """
    return ((points - others).square().sum(-1) + SQUARE_OFFSET).sqrt()


@torch.no_grad()
def ranking_distances(points: Tensor, targets: Tensor) -> Tensor:
    """||a - b||^2 of all pairs from one matrix product, to RANK neighbours by; it carries no gradient.

    In float32 the product form errs by up to 4e-2 in the distance of near-duplicates (measured on 200 normal
    vectors of 1600 dimensions), so a loss takes the order from here and the few distances it uses from
    `euclidean`. Both sides are first moved by the first target: a common offset, which cancels in every
    distance, would cost digits (an error of 2.8 with an offset of 100). Moving by a point keeps ties of grid
    points exact.

    Args:
        points: [..., m, dim].
        targets: [..., n, dim].

    Returns:
        [..., m, n], at least 0.
    """
    origin = targets[..., :1, :]
    points, targets = points - origin, targets - origin
    norms = points.square().sum(-1)[..., :, None] + targets.square().sum(-1)[..., None, :]
    return (norms - 2 * points @ targets.mT).clamp(min=0)


def negative_squared_distances(points: Tensor, targets: Tensor) -> Tensor:
    """-||a - b||^2 up to a constant for each point a, for use under a softmax over the targets.

    The softmax does not see ||a||^2: leaving it out is exact and avoids the cancellation in short distances.
    The move by the first target is a constant too: its gradient is zero, hence the detach.

    Args:
        points: [..., m, dim].
        targets: [..., n, dim].

    Returns:
        [..., m, n].
    """
    origin = targets[..., :1, :].detach()
    points, targets = points - origin, targets - origin
    return 2 * points @ targets.mT - targets.square().sum(-1)[..., None, :]


def rows(targets: Tensor, index: Tensor) -> Tensor:
    """The targets that an index names, for every episode.

    Args:
        targets: [episodes, n, dim].
        index: int64 [episodes, ...], in [0, n).

    Returns:
        [episodes, ..., dim].
    """
    episodes, n, _ = targets.shape
    first = torch.arange(0, episodes * n, n, device=index.device).view(-1, *(1,) * (index.ndim - 1))
    return F.embedding(index + first, targets.flatten(0, 1))


def unit(vectors: Tensor) -> Tensor:
    """Vectors [..., dim] divided by their length; those shorter than 1e-4 are divided by 1e-4."""
    # A product with the reciprocal, which is cheaper than a division in either direction.
    return vectors * vectors.square().sum(-1, keepdim=True).clamp(min=SHORTEST_NORM**2).rsqrt()
