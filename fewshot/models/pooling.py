"""From a map of features [n, c, h, w] to one vector an image [n, dim]."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def flatten(features: Tensor) -> Tensor:
    """Keeps every position: [n, c * h * w], in the order of a contiguous map. Conv4's own form."""
    return features.flatten(1)


def average(features: Tensor) -> Tensor:
    """Mean over the positions: [n, c], accumulated in float32 at least."""
    kept = torch.promote_types(features.dtype, torch.float32)
    return features.mean(dim=(2, 3), dtype=kept)


def maximum(features: Tensor) -> Tensor:
    """Largest value over the positions: [n, c]."""
    return features.amax(dim=(2, 3))


def average_max(features: Tensor) -> Tensor:
    """Sum of the two (Metrix, section 4.1): [n, c]."""
    return average(features) + maximum(features)


POOLINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "flatten": flatten,
    "average": average,
    "max": maximum,
    "average_max": average_max,
}
