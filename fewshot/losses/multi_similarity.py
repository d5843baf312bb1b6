"""Multi-similarity loss and its miner (Wang et al. 2019, arXiv 1904.06627)."""

from __future__ import annotations

import math

from torch import Tensor

from fewshot.losses.arguments import above_zero, finite
from fewshot.losses.generic import Form, Half
from fewshot.losses.pair_loss import PairLoss, Relation


class MultiSimilarity(PairLoss):
    """1/beta log(1 + sum_p exp(-beta (s_ap - margin))) + 1/gamma log(1 + sum_n exp(gamma (s_an - margin))).

    Of cosines s; mean over all anchors. With the miner off it equals pytorch-metric-learning's
    MultiSimilarityLoss(alpha=beta, beta=gamma, base=margin).

    Args:
        beta, gamma: sharpness on positives and on negatives.
        margin: m, a cosine.
        epsilon: of the miner, which keeps the negatives with s_an > min_p s_ap - epsilon and the positives
            with s_ap < max_n s_an + epsilon (section 3.2); None keeps every pair. It chooses clean
            pairs only; mixed ones are all used.

    Raises:
        InputError: beta or gamma not above 0, another number that is not finite.
    """

    def __init__(
        self, beta: float = 18.0, gamma: float = 75.0, margin: float = 0.77, epsilon: float | None = 0.39
    ) -> None:
        above_zero(beta=beta)
        above_zero(gamma=gamma)
        finite(margin=margin)

        def positive(similarity: Tensor) -> Tensor:
            return -beta * (similarity - margin)

        def negative(similarity: Tensor) -> Tensor:
            return gamma * (similarity - margin)

        super().__init__(Form(Half(positive, "log1p", 1 / beta), Half(negative, "log1p", 1 / gamma)))
        self.epsilon = None if epsilon is None else finite(epsilon=epsilon)

    def choose(self, similarity: Tensor, relation: Relation) -> Relation:
        return relation if self.epsilon is None else mined(similarity.detach(), relation, self.epsilon)


def mined(similarity: Tensor, relation: Relation, epsilon: float) -> Relation:
    """The pairs that tell something: hard relative to the anchor's hardest on the other side (eq. 8 and 9).

    An anchor without a pair on one side keeps none on the other.

    Args:
        similarity: [m, n].
        relation: bool [m, n] each.
        epsilon: how much easier than the hardest a pair may be.
    """
    least = similarity.masked_fill(~relation.positive, math.inf).amin(1, keepdim=True)
    most = similarity.masked_fill(~relation.negative, -math.inf).amax(1, keepdim=True)
    return Relation(
        relation.positive & (similarity < most + epsilon), relation.negative & (similarity > least - epsilon)
    )
