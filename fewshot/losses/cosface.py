"""CosFace: additive cosine margin (Wang et al. 2018, arXiv 1801.09414)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot.losses.arguments import above_zero, at_least_one
from fewshot.losses.distances import unit
from fewshot.losses.pair_loss import check_batch
from fewshot.losses.precision import full_precision
from fewshot.losses.similarity import similarities
from fewshot.randomness import generator


@full_precision
def cosface(
    embeddings: Tensor, labels: Tensor, weight: Tensor, margin: float = 0.35, scale: float = 64.0
) -> Tensor:
    """Mean of the cross-entropy of scale * (cos(theta_c) - margin [c = y]) (eq. 4).

    It equals pytorch-metric-learning's CosFaceLoss.

    Args:
        embeddings: [m, dim].
        labels: int64 [m], in [0, classes).
        weight: [classes, dim], of any length.
        margin: a cosine.
        scale: inverse temperature.

    Returns:
        0-d tensor.

    Raises:
        ValueError: shapes that do not fit.
    """
    check_batch(embeddings, labels)
    cosines = similarities(embeddings, weight, "cosine")  # [m, classes]
    nearer = cosines.new_full((len(labels), 1), -margin)
    return F.cross_entropy(scale * cosines.scatter_add(1, labels[:, None], nearer), labels)


class CosFace(nn.Module):
    """`cosface` with its classifier.

    Args:
        classes: of the training set; labels are in [0, classes).
        dim: of the embeddings.
        margin: a cosine.
        scale: inverse temperature.
        lr_scale: factor of the optimizer's rate for the classifier.
        seed: of the weights, directions drawn uniformly on the sphere.

    Raises:
        InputError: no class, no dimension, a number out of its range.
    """

    kind: ClassVar[Literal["episodic", "batch"]] = "batch"

    def __init__(
        self,
        classes: int,
        dim: int,
        margin: float = 0.35,
        scale: float = 64.0,
        lr_scale: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        draw = generator(seed, "classifier weights", 0)
        normal = torch.randn(at_least_one(classes=classes), at_least_one(dim=dim), generator=draw)
        self.weight = nn.Parameter(unit(normal))
        self.margin = above_zero(margin=margin)
        self.scale = above_zero(scale=scale)
        self.lr_scale = above_zero(lr_scale=lr_scale)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        return cosface(embeddings, labels, self.weight, self.margin, self.scale)
