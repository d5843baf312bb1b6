"""ArcFace: additive angular margin (Deng et al. 2019, arXiv 1801.07698)."""

from __future__ import annotations

import math
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

_SMALLEST_SQUARED_SINE = 1e-6
"""Bounds the gradient of the sine, whose slope is infinite at the angles 0 and pi."""


@full_precision
def arcface(
    embeddings: Tensor, labels: Tensor, weight: Tensor, margin: float = 0.5, scale: float = 64.0
) -> Tensor:
    """Mean of the cross-entropy of scale * cos(theta_c), where theta_y of the own class grows by the margin.

    Beyond theta = pi - margin, where cos(theta + margin) would rise again, the own logit is
    cos(theta) - margin sin(margin) instead: the authors' code without its "easy margin", which would leave
    out the margin at all angles above pi/2. sin(theta) = sqrt(max(1 - cos^2, 1e-6)). It equals
    pytorch-metric-learning's ArcFaceLoss, whose margin is in degrees.

    Args:
        embeddings: [m, dim].
        labels: int64 [m], in [0, classes).
        weight: [classes, dim], of any length.
        margin: an angle, in radians.
        scale: inverse temperature.

    Returns:
        0-d tensor.

    Raises:
        ValueError: shapes that do not fit.
    """
    check_batch(embeddings, labels)
    cosines = similarities(embeddings, weight, "cosine")  # [m, classes]
    own = cosines.gather(1, labels[:, None])
    sines = (1 - own.square()).clamp(min=_SMALLEST_SQUARED_SINE).sqrt()
    farther = own * math.cos(margin) - sines * math.sin(margin)  # cos(theta + margin)
    farther = torch.where(own > -math.cos(margin), farther, own - margin * math.sin(margin))
    return F.cross_entropy(scale * cosines.scatter(1, labels[:, None], farther), labels)


class ArcFace(nn.Module):
    """`arcface` with its classifier.

    Args:
        classes: of the training set; labels are in [0, classes).
        dim: of the embeddings.
        margin: an angle, in radians.
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
        margin: float = 0.5,
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
        return arcface(embeddings, labels, self.weight, self.margin, self.scale)
