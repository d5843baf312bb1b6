"""What the losses of the generic form on pairs of examples share (Metrix, arXiv 2106.04990, table 1)."""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from fewshot.losses.generic import Form
from fewshot.losses.precision import full_precision
from fewshot.losses.similarity import Similarity, similarities


class Relation(NamedTuple):
    """Which others are an anchor's positives and negatives, bool [m, n] each; never both."""

    positive: Tensor
    negative: Tensor


class PairLoss(nn.Module):
    """A loss of the generic form whose anchors and examples are embeddings of images.

    Args:
        form: tau, sigma, rho.
        similarity: of embeddings.
    """

    kind: ClassVar[Literal["episodic", "batch"]] = "batch"
    takes_others: ClassVar[bool] = True
    """Whether examples may come from elsewhere than the batch, a memory say."""

    def __init__(self, form: Form, similarity: Similarity = "cosine") -> None:
        super().__init__()
        self.form = form
        self.similarity = similarity

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        others: Tensor | None = None,
        other_labels: Tensor | None = None,
        self_index: Tensor | None = None,
    ) -> Tensor:
        """The loss of a batch, a 0-d tensor.

        Args:
            embeddings: the anchors [m, dim].
            labels: int64 [m].
            others: [n, dim], what the anchors are compared with; None: the anchors themselves, none with
                itself.
            other_labels: int64 [n]; rows with a label below 0 are not there.
            self_index: int64 [m], the row of `others` that is the anchor itself; None: there is none.
        """
        check_batch(embeddings, labels)
        if others is None or other_labels is None:
            others, other_labels = embeddings, labels
            self_index = torch.arange(len(labels), device=labels.device)
        return self._loss(embeddings, others, self.relation(labels, other_labels, self_index))

    def relation(self, labels: Tensor, other_labels: Tensor, self_index: Tensor | None) -> Relation:
        """Positives have the anchor's label, negatives another one; arguments as in `forward`."""
        return relation_by_label(labels, other_labels, self_index)

    def choose(self, similarity: Tensor, relation: Relation) -> Relation:
        """The pairs that the clean loss uses, of similarities [m, n]: all, unless a loss mines them."""
        return relation

    @full_precision
    def _loss(self, anchors: Tensor, others: Tensor, relation: Relation) -> Tensor:
        similarity = similarities(anchors, others, self.similarity)  # [m, n]
        return self.form.loss(self.form.accumulate(similarity, *self.choose(similarity, relation)))


def relation_by_label(labels: Tensor, other_labels: Tensor, self_index: Tensor | None) -> Relation:
    """Same label and another label, without the anchor itself; others with a label below 0 are neither.

    Args:
        labels: int64 [m].
        other_labels: int64 [n].
        self_index: int64 [m], the row of the others that is the anchor; None: there is none.
    """
    positive = labels[:, None] == other_labels
    negative = ~positive & (other_labels >= 0)
    if self_index is not None:
        positive = positive.scatter(1, self_index[:, None], False)
    return Relation(positive, negative)


def check_batch(embeddings: Tensor, labels: Tensor) -> None:
    """ValueError unless embeddings are [m, dim] and labels [m]."""
    if embeddings.ndim != 2 or labels.shape != embeddings.shape[:1]:
        raise ValueError(
            "expected embeddings [m, dim] and labels [m]; "
            f"got {list(embeddings.shape)} and {list(labels.shape)}"
        )
