"""Circle loss with pairwise labels (Sun et al. 2020, arXiv 2002.10857)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot.losses.arguments import above_zero, finite
from fewshot.losses.generic import log_sum
from fewshot.losses.pairs import compared, cosines
from fewshot.losses.precision import full_precision


@full_precision
def circle(
    embeddings: Tensor,
    labels: Tensor,
    others: Tensor | None = None,
    other_labels: Tensor | None = None,
    self_index: Tensor | None = None,
    *,
    relaxation: float = 0.4,
    gamma: float = 80.0,
) -> Tensor:
    """log(1 + sum_n exp(gamma a_n (s_n - m)) sum_p exp(-gamma a_p (s_p - 1 + m))) of an anchor (eq. 6, 8).

    s is the cosine, m the relaxation. The weights a_n = max(0, s_n + m) and a_p = max(0, 1 + m - s_p) carry
    no gradient: they set the pace at which a similarity moves. The mean is taken over anchors with both a
    positive and a negative. It equals pytorch-metric-learning's CircleLoss(m, gamma), whose mean also leaves
    out anchors with a loss that float32 rounds to 0.

    Args:
        embeddings, labels, others, other_labels, self_index: see `compared`.
        relaxation: m, a cosine; 0.4 for fine-grained retrieval, 0.25 for faces in the paper.
        gamma: scale; 80 for fine-grained retrieval, 256 for faces in the paper.

    Returns:
        0-d tensor.

    Raises:
        ValueError: see `compared`.
    """
    others, (positive, negative) = compared(embeddings, labels, others, other_labels, self_index)
    similarity = cosines(embeddings, others)  # [m, n]
    fixed = similarity.detach()
    of_positives = -gamma * (1 + relaxation - fixed).clamp(min=0) * (similarity - 1 + relaxation)
    of_negatives = gamma * (fixed + relaxation).clamp(min=0) * (similarity - relaxation)
    # An empty side is -inf, and log(1 + 0) = 0 without gradient is what is wanted.
    each = F.softplus(log_sum(of_positives, positive) + log_sum(of_negatives, negative), threshold=40)
    return each.sum() / torch.count_nonzero(positive.any(1) & negative.any(1)).clamp(min=1)


class Circle(nn.Module):
    """`circle` with its relaxation and scale.

    Raises:
        InputError: a relaxation that is not finite, a scale that is not above 0.
    """

    kind: ClassVar[Literal["episodic", "batch"]] = "batch"
    takes_others: ClassVar[bool] = True

    def __init__(self, relaxation: float = 0.4, gamma: float = 80.0) -> None:
        super().__init__()
        self.relaxation = finite(relaxation=relaxation)
        self.gamma = above_zero(gamma=gamma)

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        others: Tensor | None = None,
        other_labels: Tensor | None = None,
        self_index: Tensor | None = None,
    ) -> Tensor:
        return circle(
            *(embeddings, labels, others, other_labels, self_index),
            relaxation=self.relaxation,
            gamma=self.gamma,
        )
