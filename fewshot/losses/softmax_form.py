"""The form shared by all losses that are a cross-entropy: -log(A / (A + B)) (derived from Metrix, eq. 1)."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from fewshot.losses.generic import Form, Half
from fewshot.losses.precision import full_precision


def softmax_form(
    temperature: float | Tensor,
    *,
    average: Literal["all", "positive"] = "all",
    positive_in_denominator: bool = True,
) -> Form:
    """log(1 + exp(-log A + log B)), A and B the sums of exp(s / temperature) over positives and negatives.

    Args:
        temperature: divides the similarities; a 0-d tensor where it is learnt.
        average: see `Form`.
        positive_in_denominator: False gives -log A + log B, the form of ProxyNCA, which can be below 0.
    """

    def rho(similarity: Tensor) -> Tensor:
        return similarity / temperature

    tau: Literal["softplus", "identity"] = "softplus" if positive_in_denominator else "identity"
    return Form(Half(rho, "log", -1.0), Half(rho, "log"), tau=tau, average=average)


@full_precision
def cross_entropy(logits: Tensor, positive: Tensor, anchors: Tensor | None = None) -> Tensor:
    """The form where an anchor has one positive, in fewer passes: mean of -log softmax, 0-d; 0 of no anchor.

    Args:
        logits: [m, n], similarities divided by the temperature; all other columns are negatives.
        positive: int64 [m], the column of each anchor's positive.
        anchors: 0-d, their number where the rows have some that are none and lose nothing; None: all rows.
    """
    total = F.cross_entropy(logits, positive, reduction="sum")
    return total / (max(1, len(positive)) if anchors is None else anchors.clamp(min=1))
