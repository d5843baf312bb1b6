"""Lifted structure loss in the form of Hermans et al. 2017 (arXiv 1703.07737, eq. 8; Metrix, table 1)."""

from __future__ import annotations

from torch import Tensor

from fewshot.losses.arguments import finite
from fewshot.losses.generic import Form, Half
from fewshot.losses.pair_loss import PairLoss
from fewshot.losses.similarity import Similarity


class LiftedStructureHermans(PairLoss):
    """max(0, log sum_p exp(-s(a,p)) + log sum_n exp(s(a,n) + margin)).

    An anchor without a positive or without a negative contributes 0; mean over all anchors. Song's
    original, which sums over pairs, is `LiftedStructure`. With similarity "euclidean" it equals
    pytorch-metric-learning's GeneralizedLiftedStructureLoss(pos_margin=0, neg_margin=margin) on embeddings
    of unit length, wherever each anchor has both.

    Args:
        margin: m, in units of the similarity. Metrix prints exp(s - m), with which a positive m is a
            negative margin: give margin=-m for that.
        similarity: of embeddings; Hermans et al. use "euclidean".

    Raises:
        InputError: a margin that is not finite.
    """

    def __init__(self, margin: float = 1.0, similarity: Similarity = "euclidean") -> None:
        finite(margin=margin)

        def negative(value: Tensor) -> Tensor:
            return value + margin

        super().__init__(Form(Half(Tensor.neg, "log"), Half(negative, "log"), tau="hinge"), similarity)
