"""Lifted structured loss, the original over pairs (Oh Song et al. 2016, arXiv 1511.06452)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from fewshot.losses.arguments import finite
from fewshot.losses.generic import log_sum
from fewshot.losses.pairs import compared, unit_distances
from fewshot.losses.precision import full_precision


@full_precision
def lifted_structure(
    embeddings: Tensor,
    labels: Tensor,
    others: Tensor | None = None,
    other_labels: Tensor | None = None,
    self_index: Tensor | None = None,
    *,
    negative_margin: float = 1.0,
    positive_margin: float = 0.0,
) -> Tensor:
    """1/(2|P|) sum over positive pairs (i,j) of max(0, J_ij)^2 (eq. 4).

    J_ij = log( sum_{k in N(i)} exp(m - d_ik) + sum_{l in N(j)} exp(m - d_jl) ) + d_ij - m', with Euclidean
    distances d = sqrt(||a - b||^2 + 1e-6) of unit vectors; m and m' are the margins. A pair without any
    negative costs 0. It equals pytorch-metric-learning's LiftedStructureLoss(neg_margin, pos_margin) up to
    the 1e-6. With others of their own the negatives of j, one of the others, are looked for among the
    anchors: the distances between others would be needed otherwise.

    Args:
        embeddings, labels, others, other_labels, self_index: see `compared`.
        negative_margin: m; 1 in the paper.
        positive_margin: m'; 0 in the paper.

    Returns:
        0-d tensor.

    Raises:
        ValueError: see `compared`.
    """
    others, (positive, negative) = compared(embeddings, labels, others, other_labels, self_index)
    distances = unit_distances(embeddings, others)  # [m, n]
    closeness = negative_margin - distances
    of_anchors = log_sum(closeness, negative)  # [m]
    of_others = log_sum(closeness.mT, negative.mT)  # [n]
    # Of two empty sums this is -inf, which the hinge takes to 0; `log_sum` passes their gradient on as 0.
    of_both = torch.logaddexp(of_anchors[:, None], of_others)
    each = (of_both + distances - positive_margin).clamp(min=0).square()
    return each.masked_fill(~positive, 0).sum() / (2 * positive.sum().clamp(min=1))


class LiftedStructure(nn.Module):
    """`lifted_structure` with its margins.

    Raises:
        InputError: a margin that is not finite.
    """

    kind: ClassVar[Literal["episodic", "batch"]] = "batch"
    takes_others: ClassVar[bool] = True

    def __init__(self, negative_margin: float = 1.0, positive_margin: float = 0.0) -> None:
        super().__init__()
        self.negative_margin = finite(negative_margin=negative_margin)
        self.positive_margin = finite(positive_margin=positive_margin)

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        others: Tensor | None = None,
        other_labels: Tensor | None = None,
        self_index: Tensor | None = None,
    ) -> Tensor:
        return lifted_structure(
            *(embeddings, labels, others, other_labels, self_index),
            negative_margin=self.negative_margin,
            positive_margin=self.positive_margin,
        )
