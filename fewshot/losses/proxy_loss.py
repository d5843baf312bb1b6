"""What the losses of the generic form share whose anchors are embeddings and whose examples are proxies."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from fewshot.losses.arguments import above_zero, at_least_one
from fewshot.losses.generic import Form, Totals
from fewshot.losses.pair_loss import check_batch
from fewshot.losses.precision import full_precision
from fewshot.losses.similarity import Similarity, similarities
from fewshot.randomness import generator


def proxies(classes: int, dim: int, seed: int, per_class: int = 1) -> nn.Parameter:
    """Proxies [classes * per_class, dim], class by class, normal with variance 2 / (classes * per_class).

    That is Kaiming's initialisation by fan-out, as in the public code of Proxy Anchor.
    """
    draw = generator(seed, "proxies", 0)
    rows = at_least_one(classes=classes) * per_class
    return nn.Parameter(torch.randn(rows, at_least_one(dim=dim), generator=draw) * (2 / rows) ** 0.5)


class ProxyLoss(nn.Module):
    """A loss of the generic form of an embedding against one score for each class.

    Args:
        form: tau, sigma, rho.
        classes: of the proxies; labels are in [0, classes).
        weight: the proxies [classes * per_class, dim], a parameter.
        similarity: of embeddings and proxies.
        lr_scale: factor of the optimizer's rate for the proxies.
    """

    kind: ClassVar[Literal["episodic", "batch"]] = "batch"

    def __init__(
        self,
        form: Form,
        classes: int,
        weight: nn.Parameter,
        lr_scale: float = 1.0,
        similarity: Similarity = "cosine",
    ) -> None:
        super().__init__()
        self.classes = classes
        self.form = form
        self.weight = weight
        self.similarity = similarity
        self.lr_scale = above_zero(lr_scale=lr_scale)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The loss (0-d) of embeddings [m, dim] with labels int64 [m], the classes of the proxies."""
        check_batch(embeddings, labels)
        return self._loss(embeddings, self.weight, labels)

    def class_scores(self, similarity: Tensor) -> Tensor:
        """Similarities [..., classes * per_class] to the proxies as scores [..., classes]."""
        return similarity

    def penalty(self) -> Tensor | None:
        """What is added to the loss for the proxies alone, 0-d, or nothing."""
        return None

    @full_precision
    def _loss(self, embeddings: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
        scores = self.class_scores(similarities(embeddings, weight, self.similarity))  # [m, classes]
        own = scores.gather(1, labels[:, None])  # [m, 1]
        others = torch.ones_like(scores, dtype=torch.bool).scatter_(1, labels[:, None], False)
        one = torch.ones_like(labels)
        totals = Totals(
            self.form.positive.accumulate(own, one[:, None].bool()),
            self.form.negative.accumulate(scores, others),
            one,
            others.sum(1),
        )
        loss, penalty = self.form.loss(totals), self.penalty()
        return loss if penalty is None else loss + penalty
