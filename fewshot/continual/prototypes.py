"""Learnt prototypes, one a class, in the space of the encoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fewshot.losses.arguments import above_zero, at_least_one, at_least_zero, share
from fewshot.losses.distances import unit
from fewshot.losses.precision import full_precision
from fewshot.randomness import generator


class Prototypes(nn.Module):
    """Prototypes [classes, dim] with an optimizer group of their own, that score by their cosine.

    Args:
        classes: of the whole stream.
        dim: of the encoder's features.
        lr_scale: factor of the optimizer's rate.
        momentum, weight_decay: of their group; PRD has neither.
        seed: of the start, uniform in +-1/sqrt(dim).

    Raises:
        InputError: a number out of its range.
    """

    def __init__(
        self,
        classes: int,
        dim: int,
        lr_scale: float = 1.0,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        start = torch.empty(at_least_one(classes=classes), at_least_one(dim=dim))
        nn.init.uniform_(start, -(dim**-0.5), dim**-0.5, generator=generator(seed, "prototypes", 0))
        self.weight = nn.Parameter(start)
        # A torch optimizer checks its own rate and momentum, but not those of a group.
        self.lr_scale = above_zero("continual", prototypes_lr_scale=lr_scale)
        self.momentum = share("continual", prototypes_momentum=momentum)
        self.weight_decay = at_least_zero("continual", prototypes_weight_decay=weight_decay)

    def forward(self, features: Tensor) -> Tensor:
        """cos(z, p), [n, classes], of features [n, dim]."""
        return _cosines(features, self.weight)


@full_precision
def _cosines(features: Tensor, prototypes: Tensor) -> Tensor:
    return unit(features) @ unit(prototypes).mT
