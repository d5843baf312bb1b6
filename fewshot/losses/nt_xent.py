"""NT-Xent with labels, one term a positive pair (after Chen et al. 2020, SimCLR, arXiv 2002.05709)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from fewshot.losses.arguments import above_zero
from fewshot.losses.generic import log_sum
from fewshot.losses.pairs import compared, cosines
from fewshot.losses.precision import full_precision


@full_precision
def nt_xent(
    embeddings: Tensor,
    labels: Tensor,
    others: Tensor | None = None,
    other_labels: Tensor | None = None,
    self_index: Tensor | None = None,
    *,
    temperature: float = 0.07,
) -> Tensor:
    """Mean over positive pairs of -log( exp(s_ap/T) / (exp(s_ap/T) + sum_{n in N(a)} exp(s_an/T)) ).

    s is the cosine. With one positive an anchor this is SimCLR's eq. 1; the other positives of an anchor are
    not in the denominator. A pair whose anchor has no negative costs 0. It equals pytorch-metric-learning's
    NTXentLoss(temperature), which adds 1e-7 inside the logarithm and so stops at 16.1 a pair.

    Args:
        embeddings, labels, others, other_labels, self_index: see `compared`.
        temperature: T.

    Returns:
        0-d tensor.

    Raises:
        ValueError: see `compared`.
    """
    others, (positive, negative) = compared(embeddings, labels, others, other_labels, self_index)
    logits = cosines(embeddings, others) / temperature  # [m, n]
    # -log(e^s / (e^s + e^l)) = -logsigmoid(s - l), which keeps its digits where the loss is near 0.
    each = -F.logsigmoid(logits - log_sum(logits, negative)[:, None])
    return each.masked_fill(~positive, 0).sum() / positive.sum().clamp(min=1)


class NTXent(nn.Module):
    """`nt_xent` with its temperature.

    Raises:
        InputError: a temperature that is not above 0.
    """

    kind: ClassVar[Literal["episodic", "batch"]] = "batch"
    takes_others: ClassVar[bool] = True

    def __init__(self, temperature: float = 0.07) -> None:
        super().__init__()
        self.temperature = above_zero(temperature=temperature)

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        others: Tensor | None = None,
        other_labels: Tensor | None = None,
        self_index: Tensor | None = None,
    ) -> Tensor:
        return nt_xent(*(embeddings, labels, others, other_labels, self_index), temperature=self.temperature)
