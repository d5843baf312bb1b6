"""Proxy Anchor loss (Kim et al. 2020, arXiv 2003.13911)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from fewshot.losses.arguments import above_zero, finite
from fewshot.losses.generic import Form, Half
from fewshot.losses.pair_loss import check_batch
from fewshot.losses.precision import full_precision
from fewshot.losses.proxy_loss import proxies
from fewshot.losses.similarity import Similarity, similarities


class ProxyAnchor(nn.Module):
    """Mean over the classes of the batch of log(1 + sum_p exp(-beta (s(w,p) - margin))), and mean over all
    classes of log(1 + sum_n exp(beta (s(w,n) + margin))) (eq. 4).

    The proxies w are the anchors, the images of the batch their examples. It equals
    pytorch-metric-learning's ProxyAnchorLoss(margin=margin, alpha=beta).

    Args:
        classes: of the training set; labels are in [0, classes).
        dim: of the embeddings.
        beta: sharpness; 32 in the paper.
        margin: a cosine; 0.1 in the paper.
        lr_scale: factor of the optimizer's rate for the proxies; 100 in the paper.
        seed: of the proxies.

    Raises:
        InputError: no class, no dimension, a number out of its range.
    """

    kind: ClassVar[Literal["episodic", "batch"]] = "batch"
    similarity: ClassVar[Similarity] = "cosine"

    def __init__(
        self,
        classes: int,
        dim: int,
        beta: float = 32.0,
        margin: float = 0.1,
        lr_scale: float = 100.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        above_zero(beta=beta)
        finite(margin=margin)

        def positive(similarity: Tensor) -> Tensor:
            return -beta * (similarity - margin)

        def negative(similarity: Tensor) -> Tensor:
            return beta * (similarity + margin)

        self.form = Form(Half(positive, "log1p"), Half(negative, "log1p"), average="positive")
        self.weight = proxies(classes, dim, seed)
        self.lr_scale = above_zero(lr_scale=lr_scale)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The loss (0-d) of embeddings [m, dim] with labels int64 [m], the classes of the proxies."""
        check_batch(embeddings, labels)
        return self._loss(self.weight, embeddings, labels)

    @full_precision
    def _loss(self, weight: Tensor, embeddings: Tensor, labels: Tensor) -> Tensor:
        similarity = similarities(weight, embeddings, self.similarity)  # [classes, m]
        positive = torch.arange(len(weight), device=labels.device)[:, None] == labels
        return self.form.loss(self.form.accumulate(similarity, positive, ~positive))
