"""The nearest neighbours of labelled points, in their own set or in another one."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from fewshot.losses.distances import euclidean, ranking_distances, rows

_NEVER = torch.iinfo(torch.int64).max
"""The key of a target that must not be found. Its lowest bit is set: it counts as no enemy."""


class Neighbours(NamedTuple):
    """The k nearest targets of each point, nearest first, and its nearest enemy."""

    distances: Tensor
    """[episodes, m, k], Euclidean; carries the gradient."""
    same: Tensor
    """bool [episodes, m, k]: has this neighbour the class of the point?"""
    enemy: Tensor
    """[episodes, m]: distance to the nearest inspected target of another class, inf where there is none."""


def nearest_neighbours(
    points: Tensor,
    labels: Tensor,
    targets: Tensor | None = None,
    target_labels: Tensor | None = None,
    *,
    k: int,
    inspected: int | None = None,
    skip: int = 0,
) -> Neighbours:
    """Finds the k nearest targets of each point and, among the `inspected` nearest, its nearest enemy.

    Of targets at one distance the one with the smaller index comes first, on every device.

    Args:
        points: [episodes, m, dim].
        labels: int64 [m] or [episodes, m].
        targets: [episodes, n, dim]. None: the points themselves, none its own neighbour (by index).
        target_labels: int64 [n] or [episodes, n], of the targets.
        k: neighbours; no more than there are targets are taken.
        inspected: R, at least k. None, or more than there are: all.
        skip: how many of the nearest targets to leave out (the slip of a public code; see `ICNN`).

    Raises:
        ValueError: there is no target at all, or inspected is below k.
    """
    itself = targets is None or target_labels is None
    if targets is None or target_labels is None:
        targets, target_labels = points, labels
    available = targets.shape[1] - int(itself) - skip
    if available < 1:
        raise ValueError(f"a search among {targets.shape[1]} points leaves no neighbour")
    if inspected is not None and inspected < k:
        raise ValueError(f"inspected={inspected} is below k={k}")
    k = min(k, available)
    inspected = available if inspected is None else min(inspected, available)

    same = labels.expand(points.shape[:2])[:, :, None] == target_labels.expand(targets.shape[:2])[:, None, :]
    keys = _ordered_keys(ranking_distances(points, targets), same)  # [episodes, m, n]
    if itself:
        keys.diagonal(dim1=-2, dim2=-1).fill_(_NEVER)
    if inspected < available or skip:
        keys = keys.topk(skip + inspected, largest=False).values[..., skip:]
    nearest = keys.topk(k, largest=False).values  # [episodes, m, k]
    enemy = keys.masked_fill(_is_same(keys), _NEVER).amin(-1, keepdim=True)  # [episodes, m, 1]

    found = rows(targets, _index(torch.cat((nearest, enemy), -1)))
    distances = euclidean(points[:, :, None], found)
    no_enemy = enemy[..., 0] == _NEVER
    return Neighbours(
        distances[..., :-1], _is_same(nearest), distances[..., -1].masked_fill(no_enemy, torch.inf)
    )


def _ordered_keys(distances: Tensor, same: Tensor) -> Tensor:
    """One int64 for each pair that orders by distance, then by index of the target: topk has no stable ties.

    A float32 that is not negative orders as its bits do. From the top: 32 bits distance, 31 index, 1 `same`.
    """
    bits = distances.float().view(torch.int32).long()
    index = torch.arange(distances.shape[-1], device=distances.device)
    return bits << 32 | index << 1 | same


def _is_same(keys: Tensor) -> Tensor:
    return (keys & 1).bool()


def _index(keys: Tensor) -> Tensor:
    return ((keys & 0xFFFFFFFF) >> 1).masked_fill(keys == _NEVER, 0)
