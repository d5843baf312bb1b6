"""Nearest class mean: one mean of unit features for each class met."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fewshot.losses.distances import unit
from fewshot.losses.precision import full_precision


class ClassMeans(nn.Module):
    """Sums of unit features and counts of them, a row a class, as parameters without gradient (see `Method`).

    Args:
        classes: of the whole stream.
        dim: of the features.
    """

    sums: Tensor
    counts: Tensor

    def __init__(self, classes: int, dim: int) -> None:
        super().__init__()
        self.register_parameter("sums", nn.Parameter(torch.zeros(classes, dim), requires_grad=False))
        self.register_parameter("counts", nn.Parameter(torch.zeros(classes), requires_grad=False))

    @torch.no_grad()
    def add(self, features: Tensor, labels: Tensor) -> None:
        """Count features [n, dim] with labels int64 [n] in."""
        self.sums.index_add_(0, labels, unit(features.float()))
        self.counts.index_add_(0, labels, torch.ones_like(labels, dtype=self.counts.dtype))

    @torch.no_grad()
    def clear(self) -> None:
        self.sums.zero_()
        self.counts.zero_()

    def forward(self, features: Tensor) -> Tensor:
        """Cosines [n, classes] of features [n, dim] and means; -inf for a class without any.

        The order of the classes is that by the distance of unit vectors.
        """
        return _cosines(features, self.sums).masked_fill(self.counts == 0, -torch.inf)


@full_precision
def _cosines(features: Tensor, means: Tensor) -> Tensor:
    return unit(features) @ unit(means).mT
