"""The first form of the ICNN score, with exponents (arXiv 2107.06992, 2021), as a loss."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from fewshot.losses.arguments import above_zero, at_least_one
from fewshot.losses.neighbours import Neighbours, nearest_neighbours
from fewshot.losses.precision import full_precision
from fewshot.losses.searched_sets import Variant, searched_sets

_EPSILON = 1e-6
_LEAST_BASE = 1e-8
"""Below it a root counts as 0, so that its gradient stays below 1e4 for a square root."""


def score_2021(
    found: Neighbours, exponents: tuple[float, float, float], omega: bool, unbiased: bool, gamma: bool
) -> Tensor:
    """The mean of lambda, gamma and omega, as far as they are wanted, [episodes].

    theta_ij = (d_ij - min_j d_ij) / (max_j d_ij - min_j d_ij) over the k neighbours of i.
    lambda_i = sum over friends of (1 - theta_ij) + sum over enemies of theta_ij;
    lambda = mean_i (lambda_i / max_i lambda_i)^(1/p).
    omega = (1 - (Var theta of friends + Var theta of enemies))^(1/q), of the zero-filled m x k matrices.
    gamma = mean_i (share of friends among the neighbours of i)^(1/r).

    Args:
        found: k neighbours of each point.
        exponents: p, q, r.
        omega, gamma: whether the score counts them.
        unbiased: variances divided by m k - 1, not m k.
    """
    p, q, r = exponents
    distances, same, _ = found
    least, most = distances[..., :1], distances[..., -1:]
    theta = (distances - least) / (most - least + _EPSILON)
    friends, enemies = theta.masked_fill(~same, 0), theta.masked_fill(same, 0)

    near = (same.to(theta.dtype) - friends + enemies).sum(-1)  # [episodes, m]
    parts = [_root(near / (near.amax(-1, keepdim=True) + _EPSILON), p).mean(-1)]
    if gamma:
        parts.append(_root(same.to(theta.dtype).mean(-1), r).mean(-1))
    if omega:
        correction = int(unbiased and theta[0].numel() > 1)
        spread = friends.var((-2, -1), correction=correction) + enemies.var((-2, -1), correction=correction)
        parts.append(_root(1 - spread, q))
    return torch.stack(parts).mean(0)


class ICNN2021(nn.Module):
    """Mean over episodes of 1 - `score_2021`.

    Args:
        variant: full, support, query or query_prototypes, as in `ICNN`; the last leaves gamma out.
        k: neighbours of each point, clipped to the targets there are.
        p, q, r: the roots taken of lambda, omega and gamma.
        omega: add the variance term to the score.
        unbiased: variances divided by m k - 1, not m k.

    Raises:
        InputError: k below 1, or an exponent that is not above 0.
    """

    kind: ClassVar[Literal["episodic", "batch"]] = "episodic"

    def __init__(
        self,
        variant: Variant = "full",
        k: int = 5,
        p: float = 2,
        q: float = 2,
        r: float = 2,
        omega: bool = False,
        unbiased: bool = True,
    ) -> None:
        super().__init__()
        self.variant = variant
        self.k = at_least_one(k=k)
        self.exponents = (above_zero(p=p), above_zero(q=q), above_zero(r=r))
        self.omega = omega
        self.unbiased = unbiased

    @full_precision
    def forward(self, support: Tensor, query: Tensor) -> Tensor:
        found = nearest_neighbours(*searched_sets(support, query, self.variant), k=self.k)
        gamma = self.variant != "query_prototypes"
        return (1 - score_2021(found, self.exponents, self.omega, self.unbiased, gamma)).mean()


def _root(base: Tensor, degree: float) -> Tensor:
    """base^(1 / degree), and 0 without a gradient where the base has all but vanished."""
    vanished = base < _LEAST_BASE
    return (base.masked_fill(vanished, 1) ** (1 / degree)).masked_fill(vanished, 0)
