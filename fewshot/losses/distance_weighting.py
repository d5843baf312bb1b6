"""Negatives drawn so that all distances are equally likely (Wu et al. 2017, arXiv 1706.07567, section 4)."""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def distance_weighted_negatives(
    distances: Tensor,
    negative: Tensor,
    dim: int,
    generator: torch.Generator,
    *,
    cutoff: float = 0.5,
    farthest: float = 1.4,
) -> Tensor:
    """A negative for each cell of a distance matrix, drawn with replacement.

    Row a draws n with probability proportional to 1/q(max(d_an, cutoff)), where
    q(d) = d^(dim-2) (1 - d^2/4)^((dim-3)/2) is how random points of the sphere lie apart (eq. 3 of the paper
    up to a factor): the weight is min(lambda, 1/q) with lambda = 1/q(cutoff). Negatives at `farthest` or
    beyond cost nothing and are not drawn; where a row has no nearer one, all are equally likely (both as in
    the authors' code).

    Args:
        distances: [m, n], of unit vectors.
        negative: bool [m, n].
        dim: of the vectors.
        generator: gives one uniform number for each cell.
        cutoff: nearer negatives are weighed as if at this distance: their gradients vary too much.
        farthest: distance.

    Returns:
        int64 [m, n], columns that are negatives of the row; anything in a row without negatives.
    """
    near = negative & (distances < farthest)
    fallback = ~near.any(1, keepdim=True)
    nearest = distances.clamp(min=cutoff)
    # The last factor vanishes for opposite points, whose distance is 2.
    opposite = (1 - nearest.square() / 4).clamp(min=1e-6)
    log_weights = (2 - dim) * nearest.log() - (dim - 3) / 2 * opposite.log()  # [m, n]
    log_weights = log_weights.masked_fill(fallback, 0)
    drawable = torch.where(fallback, negative, near)

    log_weights = log_weights.masked_fill(~drawable, torch.finfo(log_weights.dtype).min)
    # Each row by its own largest: 1/q spans more powers of ten than float32 has.
    weights = (log_weights - log_weights.amax(1, keepdim=True)).exp() * drawable
    # In float64 a uniform float32 below 1 times the total stays below the total: no cell of weight 0 is hit.
    cumulative = weights.double().cumsum(1)
    uniform = torch.rand(distances.shape, generator=generator, device=generator.device).to(cumulative)
    drawn = torch.searchsorted(cumulative, uniform * cumulative[:, -1:], right=True)
    return drawn.clamp(max=distances.shape[1] - 1)
