"""How many queries of a training step find their own prototype: what episodic objectives log."""

from __future__ import annotations

import torch
from torch import Tensor


def prototype_accuracy(support: Tensor, query: Tensor) -> Tensor:
    """Share of the queries (0-d, in [0, 1]) whose nearest prototype is their class's.

    Args:
        support: [episodes, ways, shots, dim].
        query: [episodes, ways, queries, dim].
    """
    ways = support.shape[1]
    distance = torch.cdist(query.flatten(1, 2), support.mean(2))
    truth = torch.arange(ways, device=query.device).repeat_interleave(query.shape[2])
    return (distance.argmin(-1) == truth).float().mean()
