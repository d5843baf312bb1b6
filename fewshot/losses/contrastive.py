"""Contrastive loss (Hadsell et al. 2006; on cosines as in Metrix, arXiv 2106.04990)."""

from __future__ import annotations

from torch import Tensor

from fewshot.losses.arguments import finite
from fewshot.losses.distances import SQUARE_OFFSET
from fewshot.losses.generic import Form, Half, Reduction
from fewshot.losses.pair_loss import PairLoss


class Contrastive(PairLoss):
    """sum_p -s(a,p) + sum_n max(0, s(a,n) - margin), on cosines.

    The sums are as the paper prints them with reduction "sum"; the default averages instead, since the
    |P||N| mixed pairs of Metrix would otherwise swamp the clean ones.

    Args:
        margin: m; of cosines, or of distances where `official`.
        reduction: see `Form`.
        official: the loss behind the published rows: sum_p d(a,p) + sum_n max(0, margin - d(a,n)) on
            distances d = sqrt(2 - 2 s) of unit vectors; with reduction "nonzero" it equals
            pytorch-metric-learning's ContrastiveLoss(pos_margin=0, neg_margin=margin).

    Raises:
        InputError: a margin that is not finite.
    """

    def __init__(self, margin: float = 0.5, reduction: Reduction = "nonzero", official: bool = False) -> None:
        finite(margin=margin)

        def too_alike(similarity: Tensor) -> Tensor:
            return (similarity - margin).clamp(min=0)

        def too_near(similarity: Tensor) -> Tensor:
            return (margin - _distance(similarity)).clamp(min=0)

        positive, negative = (_distance, too_near) if official else (Tensor.neg, too_alike)
        super().__init__(Form(Half(positive, "sum"), Half(negative, "sum"), reduction=reduction))


def _distance(similarity: Tensor) -> Tensor:
    """Of unit vectors; the offset keeps the gradient of a distance of 0 finite."""
    return ((2 - 2 * similarity).clamp(min=0) + SQUARE_OFFSET).sqrt()
