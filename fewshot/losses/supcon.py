"""Supervised contrastive loss (Khosla et al. 2020, arXiv 2004.11362)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from fewshot.losses.arguments import above_zero
from fewshot.losses.generic import log_sum
from fewshot.losses.pairs import compared, cosines
from fewshot.losses.precision import full_precision

AnchorMean = Literal["positive", "anchors"]
"""Over which anchors a mean is taken: those with a positive, or all."""


@full_precision
def supcon(
    embeddings: Tensor,
    labels: Tensor,
    others: Tensor | None = None,
    other_labels: Tensor | None = None,
    self_index: Tensor | None = None,
    *,
    temperature: float = 0.1,
    reduction: AnchorMean = "positive",
) -> Tensor:
    """Mean over anchors i of -1/|P(i)| sum_p log( exp(s_ip/T) / sum_{a != i} exp(s_ia/T) ) (eq. 2, L_out).

    s is the cosine. An anchor without positive contributes 0. The default equals pytorch-metric-learning's
    SupConLoss(temperature), but for a batch of one class, which that library calls 0 unlike the equation.

    Args:
        embeddings, labels, others, other_labels, self_index: see `compared`.
        temperature: T.
        reduction: "positive", the mean over anchors with a positive; "anchors", the mean over all, as the
            equation and the authors' code have it: the same where every image has a second view.

    Returns:
        0-d tensor.

    Raises:
        ValueError: see `compared`.
    """
    others, (positive, negative) = compared(embeddings, labels, others, other_labels, self_index)
    logits = cosines(embeddings, others) / temperature  # [m, n]
    positives = positive.sum(1)
    of_positives = (logits * positive).sum(1) / positives.clamp(min=1)
    each = (log_sum(logits, positive | negative) - of_positives).masked_fill(positives == 0, 0)
    if reduction == "anchors":
        return each.mean()
    return each.sum() / torch.count_nonzero(positives).clamp(min=1)


class SupCon(nn.Module):
    """`supcon` with its temperature and reduction.

    Raises:
        InputError: a temperature that is not above 0.
    """

    kind: ClassVar[Literal["episodic", "batch"]] = "batch"
    takes_others: ClassVar[bool] = True

    def __init__(self, temperature: float = 0.1, reduction: AnchorMean = "positive") -> None:
        super().__init__()
        self.temperature = above_zero(temperature=temperature)
        self.reduction: AnchorMean = reduction

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        others: Tensor | None = None,
        other_labels: Tensor | None = None,
        self_index: Tensor | None = None,
    ) -> Tensor:
        return supcon(
            *(embeddings, labels, others, other_labels, self_index),
            temperature=self.temperature,
            reduction=self.reduction,
        )
