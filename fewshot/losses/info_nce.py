"""InfoNCE with one positive an anchor (van den Oord et al. 2018, arXiv 1807.03748)."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from fewshot.losses.arguments import above_zero
from fewshot.losses.one_positive import within_the_batch
from fewshot.losses.pair_loss import PairLoss, Relation
from fewshot.losses.similarity import Similarity
from fewshot.losses.softmax_form import softmax_form


class InfoNCE(PairLoss):
    """-log( exp(s(a,p)/T) / (exp(s(a,p)/T) + sum_n exp(s(a,n)/T)) ), p the next image of a's class.

    The images of a class in the order of the batch are a ring, so every image of a class with two or more is
    the anchor of one pair and the positive of another; with two a class this is NT-Xent (arXiv 1807.03748,
    2002.05709). Anchors without a positive do not count in the mean.

    Args:
        temperature: T, divides the similarities.
        similarity: of embeddings.

    Raises:
        InputError: a temperature not above 0.
    """

    takes_others: ClassVar[bool] = False

    def __init__(self, temperature: float = 0.1, similarity: Similarity = "cosine") -> None:
        above_zero(temperature=temperature)
        super().__init__(softmax_form(temperature, average="positive"), similarity)

    def relation(self, labels: Tensor, other_labels: Tensor, self_index: Tensor | None) -> Relation:
        relation, rank, count = within_the_batch(self, labels, other_labels, self_index)
        following = rank[None, :] == ((rank + 1) % count)[:, None]
        return Relation(relation.positive & following, relation.negative)
