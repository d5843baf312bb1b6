"""Similarities of embeddings, and those of mixed embeddings in closed form."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from fewshot.losses.distances import SHORTEST_NORM, SQUARE_OFFSET, unit
from fewshot.losses.precision import full_precision

Similarity = Literal["cosine", "dot", "euclidean", "squared_euclidean"]
"""cos(a, b), <a, b>, -||a - b|| and -||a - b||^2: the larger, the more alike."""


@full_precision
def similarities(points: Tensor, others: Tensor, kind: Similarity) -> Tensor:
    """s(a, b) of all pairs.

    Args:
        points: [..., m, dim].
        others: [..., n, dim].
        kind: see `Similarity`. Euclidean distances are sqrt(||a - b||^2 + 1e-6).

    Returns:
        [..., m, n].
    """
    if kind == "cosine":
        directions = unit(points)
        return gram(directions) if others is points else directions @ unit(others).mT
    if kind == "dot":
        return gram(points) if others is points else points @ others.mT
    squared = _squared_distances(points, others)
    return -squared if kind == "squared_euclidean" else -(squared + SQUARE_OFFSET).sqrt()


def mixed_similarities(
    first: Tensor, second: Tensor, between: Tensor, lam: Tensor | float, kind: Similarity
) -> Tensor:
    """s(a, v) of v = lam x + (1 - lam) x' from similarities alone: no mixed vector is made.

    For cosines x and x' are unit vectors and v is divided by its length again:
    (lam s(a,x) + (1-lam) s(a,x')) / sqrt(lam^2 + (1-lam)^2 + 2 lam (1-lam) s(x,x')).
    For distances d^2(a,v) = lam d^2(a,x) + (1-lam) d^2(a,x') - lam (1-lam) d^2(x,x').

    Args:
        first, second: s(a, x) and s(a, x').
        between: s(x, x').
        lam: in [0, 1]. All four broadcast against each other.
        kind: of all these similarities.

    Returns:
        their broadcast shape.
    """
    rest = 1 - lam
    if kind == "euclidean":
        squared = [value.square() - SQUARE_OFFSET for value in (first, second, between)]
        mixed = mixed_similarities(-squared[0], -squared[1], -squared[2], lam, "squared_euclidean")
        return -((-mixed).clamp(min=0) + SQUARE_OFFSET).sqrt()
    mixed = lam * first + rest * second
    if kind == "dot":
        return mixed
    if kind == "squared_euclidean":
        return mixed - lam * rest * between
    length = lam * lam + rest * rest + 2 * lam * rest * between
    # Opposite vectors may cancel; a vanishing mixture is divided by 1e-4, as `unit` does.
    return mixed * length.clamp(min=SHORTEST_NORM**2).rsqrt()


def _squared_distances(points: Tensor, others: Tensor) -> Tensor:
    """||a - b||^2 from one product. A common offset would cost digits and is first taken away."""
    origin = others[..., :1, :].detach()
    moved = others - origin
    square = moved.square().sum(-1)
    if others is points:
        own, products = square, gram(moved)
    else:
        points = points - origin
        own, products = points.square().sum(-1), points @ moved.mT
    norms = own[..., :, None] + square[..., None, :]
    return torch.sub(norms, products, alpha=2).clamp(min=0)


def gram(points: Tensor) -> Tensor:
    """Inner products [..., m, m] of points [..., m, dim]; the backward pass has a matrix product fewer."""
    products: Tensor = _Gram.apply(points)
    return products


class _Gram(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, points: Tensor) -> Tensor:
        ctx.save_for_backward(points)
        return points @ points.mT

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (points,) = ctx.saved_tensors
        product: Tensor = (gradient + gradient.mT) @ points
        return product
