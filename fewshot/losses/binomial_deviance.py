"""Binomial deviance loss (Yi et al. 2014, arXiv 1407.4979; in the form of Metrix, arXiv 2106.04990)."""

from __future__ import annotations

from torch import Tensor

from fewshot.losses.arguments import above_zero, finite
from fewshot.losses.generic import Form, Half, Reduction, softplus
from fewshot.losses.pair_loss import PairLoss


class BinomialDeviance(PairLoss):
    """sum_p log(1 + exp(-beta (s(a,p) - margin))) + sum_n log(1 + exp(gamma (s(a,n) - margin))), on cosines.

    Args:
        beta, gamma: sharpness on positives and on negatives: 2 and 50 in Yi et al., where negatives cost 25
            times as much as positives.
        margin: m, a cosine.
        reduction: see `Form`; "mean", the average over an anchor's pairs, is that of the paper.

    Raises:
        InputError: beta or gamma not above 0, a margin that is not finite.
    """

    def __init__(
        self, beta: float = 2.0, gamma: float = 50.0, margin: float = 0.5, reduction: Reduction = "mean"
    ) -> None:
        above_zero(beta=beta)
        above_zero(gamma=gamma)
        finite(margin=margin)

        def positive(similarity: Tensor) -> Tensor:
            return softplus(-beta * (similarity - margin))

        def negative(similarity: Tensor) -> Tensor:
            return softplus(gamma * (similarity - margin))

        super().__init__(Form(Half(positive, "sum"), Half(negative, "sum"), reduction=reduction))
