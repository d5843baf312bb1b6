"""N-pair loss (Sohn 2016, NeurIPS; in the generic form of Metrix, arXiv 2106.04990)."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from fewshot.losses.one_positive import within_the_batch
from fewshot.losses.pair_loss import PairLoss, Relation, check_batch
from fewshot.losses.similarity import Similarity, similarities
from fewshot.losses.softmax_form import cross_entropy, softmax_form


class NPair(PairLoss):
    """log(1 + sum_n exp(<a,n> - <a,p>)) over one pair a class (Sohn 2016, eq. 7).

    The first image of a class is the anchor, its second the positive, the seconds of the other classes the
    negatives; further images of a class are not used. Mean over the pairs. It equals
    pytorch-metric-learning's NPairsLoss with DotProductSimilarity(normalize_embeddings=False).

    Args:
        similarity: of embeddings; "dot" in the paper, which bounds their norms by the optimizer's weight
            decay or a penalty of its own.
    """

    takes_others: ClassVar[bool] = False

    def __init__(self, similarity: Similarity = "dot") -> None:
        super().__init__(softmax_form(1.0, average="positive"), similarity)

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        others: Tensor | None = None,
        other_labels: Tensor | None = None,
        self_index: Tensor | None = None,
    ) -> Tensor:
        """As `PairLoss.forward`, on the batch alone."""
        check_batch(embeddings, labels)
        if others is not None:
            raise ValueError("NPair takes its one positive from the batch alone")
        # Two images of a class are used: those rows and columns alone are several times cheaper.
        order = labels.argsort(stable=True)
        first = torch.ones_like(order, dtype=torch.bool)
        first[1:] = labels[order[1:]] != labels[order[:-1]]
        second = first[:-1] & ~first[1:]
        place = (~second).long().argsort(stable=True)[: most_pairs(second)]
        there = second[place]
        pairs = order[torch.stack([place, place + 1])]  # [2, at least the pairs]
        anchors, positives = embeddings[pairs]  # one gather, and one scatter in the backward pass
        logits = similarities(anchors, positives, self.similarity)
        own = torch.arange(len(there), device=labels.device)
        logits = logits.masked_fill(~(there[:, None] & there), -math.inf)
        logits = logits.masked_fill((own[:, None] == own) & ~there, 0.0)
        return cross_entropy(logits, own, there.sum())

    def relation(self, labels: Tensor, other_labels: Tensor, self_index: Tensor | None) -> Relation:
        relation, rank, count = within_the_batch(self, labels, other_labels, self_index)
        used = ((rank == 0) & (count > 1))[:, None] & (rank == 1)
        return Relation(relation.positive & used, relation.negative & used)


def most_pairs(second: Tensor) -> int:
    """How many pairs there can be, of bool [m - 1]: which images are the second of their class.

    On a CPU it is their number. Elsewhere, where reading it back would make the host wait, it is half the
    images, and what is left over counts nothing.
    """
    return int(second.sum()) if second.device.type == "cpu" else (len(second) + 1) // 2
