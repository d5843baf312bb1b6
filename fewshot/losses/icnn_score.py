"""The parts of the ICNN score: how near friends are, how far enemies are, how pure the neighbourhoods are.

Inter and intra Class Nearest Neighbours: Mendez-Ruiz et al. 2023 (SuSana Distancia), arXiv 2305.09062.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fewshot.losses.neighbours import Neighbours

_EPSILON = 1e-7
"""Added to the two denominators that are distances."""


def relative_distances(neighbours: Neighbours) -> tuple[Tensor, Tensor]:
    """Relative distances of friends and of enemies, in [0, 1], each [episodes, m, k] with 0 for the others.

    A friend j of i counts r_ij = d_ij / max(e_i, d_ik), where e_i is the distance to the nearest inspected
    enemy and d_ik that to the k-th neighbour; without an inspected enemy r_ij = 0. An enemy counts d_ij / D,
    where D is the largest distance of an enemy in any neighbourhood of the episode.
    """
    distances, same, enemy = neighbours
    reach = torch.maximum(enemy + _EPSILON, distances[..., -1])  # inf where no enemy: r = 0, gradient 0
    friends = (distances / reach[..., None]).masked_fill(~same, 0)
    enemies = distances.masked_fill(same, 0)
    return friends, enemies / (enemies.amax((-2, -1), keepdim=True) + _EPSILON)


def closeness(friends: Tensor, enemies: Tensor, same: Tensor) -> Tensor:
    """lambda = (lambda_s + lambda_d) / 2, [episodes].

    lambda_s = 1 - mean_i a_i, where a_i is the mean r_ij of the friends among the k nearest of i.
    lambda_d = mean_i b_i, where b_i is the mean d_ij / D of the enemies there.
    Both means are over the points that have one; where no point has one, that lambda is 1.

    Args:
        friends, enemies: [episodes, m, k], from `relative_distances`.
        same: bool [episodes, m, k].
    """
    intra, _ = _mean_over_owners(friends, same)
    inter, nobody = _mean_over_owners(enemies, ~same)
    return (1 - intra + inter.masked_fill(nobody, 1)) / 2


def steadiness(friends: Tensor, enemies: Tensor, unbiased: bool = True) -> Tensor:
    """omega = 1 - (Var of the friends' r + Var of the enemies' d/D) of the zero-filled matrices, [episodes].

    Args:
        friends, enemies: [episodes, m, k], from `relative_distances`.
        unbiased: divide by m k - 1, not by m k. A single entry has variance 0 in both forms.
    """
    correction = int(unbiased and friends[0].numel() > 1)
    return 1 - friends.var((-2, -1), correction=correction) - enemies.var((-2, -1), correction=correction)


def purity(neighbours: Neighbours) -> Tensor:
    """gamma = the share of friends among all the neighbours, [episodes]; piecewise constant, no gradient."""
    return neighbours.same.to(neighbours.distances.dtype).mean((-2, -1))


def _mean_over_owners(values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The mean, over the points that have a masked value, of the mean of these; and where no point has one.

    Args:
        values: [episodes, m, k], 0 outside the mask.
        mask: bool [episodes, m, k].

    Returns:
        [episodes], 0 where no point has one; bool [episodes].
    """
    count = mask.sum(-1)  # [episodes, m]
    means = values.sum(-1) / count.clamp(min=1)
    owners = (count > 0).sum(-1)  # [episodes]
    return means.sum(-1) / owners.clamp(min=1), owners == 0
