"""Herding: exemplars whose mean follows the mean of their class (Welling 2009; iCaRL, arXiv 1611.07725)."""

from __future__ import annotations

import torch
from torch import Tensor

from fewshot.losses.distances import unit


@torch.no_grad()
def herd(features: Tensor, labels: Tensor, quota: int) -> Tensor:
    """Rows of the exemplars, class after class, each class's in the order in which they were chosen.

    The k-th exemplar of a class is the row x that minimises || mu - (phi(x) + sum of those before) / k ||,
    with unit vectors phi and their mean mu (iCaRL, algorithm 4). So any first few are the best few.

    Args:
        features: [n, dim], of any length.
        labels: int64 [n].
        quota: exemplars a class; a smaller class is taken whole.

    Returns:
        int64 [m], in [0, n).
    """
    _, of_row, counts = torch.unique(labels, return_inverse=True, return_counts=True)
    classes, most = len(counts), int(counts.max())
    rows = torch.full((classes, most), -1, device=labels.device)
    rows[of_row, place_in_class(labels)] = torch.arange(len(labels), device=labels.device)
    absent = rows < 0
    points = unit(features.float())[rows.clamp(min=0)].masked_fill(
        absent[..., None], 0
    )  # [classes, most, dim]
    mean = points.sum(1) / counts[:, None]
    total = torch.zeros_like(mean)
    chosen = torch.full((classes, min(quota, most)), -1, device=labels.device)
    each = torch.arange(classes, device=labels.device)
    # Each choice depends on those before it; all classes choose at once.
    for k in range(chosen.shape[1]):
        away = (mean[:, None] - (total[:, None] + points) / (k + 1)).square().sum(-1)
        best = away.masked_fill(absent, torch.inf).argmin(1)
        chosen[:, k] = torch.where(absent.all(1), -1, rows[each, best])
        total += points[each, best]
        absent[each, best] = True
    return chosen[chosen >= 0]


def place_in_class(labels: Tensor) -> Tensor:
    """How many rows of the same label come before each: int64 [n], of labels int64 [n]."""
    _, of_row, counts = torch.unique(labels, return_inverse=True, return_counts=True)
    order = of_row.argsort(stable=True)  # class after class
    place = torch.empty_like(labels)
    first = counts.cumsum(0) - counts
    place[order] = torch.arange(len(labels), device=labels.device) - first[of_row[order]]
    return place
