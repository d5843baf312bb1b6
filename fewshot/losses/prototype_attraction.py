"""Prototypes without contrasts: each is drawn to the features of its class (PRD, arXiv 2303.14771)."""

from __future__ import annotations

from torch import Tensor

from fewshot.losses.distances import unit
from fewshot.losses.precision import full_precision


@full_precision
def prototype_attraction(features: Tensor, labels: Tensor, prototypes: Tensor) -> Tensor:
    """-mean_i cos(p_{y_i}, z_i), whose gradient moves the prototypes of the batch's classes and nothing else.

    Args:
        features: [n, dim]; constants here.
        labels: int64 [n], in [0, classes).
        prototypes: [classes, dim].

    Returns:
        0-d tensor.
    """
    return -(unit(prototypes)[labels] * unit(features.detach())).sum(1).mean()
