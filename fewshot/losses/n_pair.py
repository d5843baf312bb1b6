"""N-pair loss (Sohn 2016, NeurIPS; in the generic form of Metrix, arXiv 2106.04990)."""

from __future__ import annotations

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
        """As `PairLoss.forward`, on the batch alone; it waits for the device to count the pairs."""
        check_batch(embeddings, labels)
        if others is not None:
            raise ValueError("NPair takes its one positive from the batch alone")
        # Two images of a class are used: those rows and columns alone are several times cheaper.
        order = labels.argsort(stable=True)
        first = torch.ones_like(order, dtype=torch.bool)
        first[1:] = labels[order[1:]] != labels[order[:-1]]
        second = first[:-1] & ~first[1:]
        pairs = torch.stack([order[:-1][second], order[1:][second]])  # [2, classes]
        anchors, positives = embeddings[pairs]  # one gather, and one scatter in the backward pass
        own = torch.arange(len(anchors), device=labels.device)
        return cross_entropy(similarities(anchors, positives, self.similarity), own)

    def relation(self, labels: Tensor, other_labels: Tensor, self_index: Tensor | None) -> Relation:
        relation, rank, count = within_the_batch(self, labels, other_labels, self_index)
        used = ((rank == 0) & (count > 1))[:, None] & (rank == 1)
        return Relation(relation.positive & used, relation.negative & used)
