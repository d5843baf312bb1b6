"""Proto-Triplet: a triplet margin on prototypes (Mendez-Ruiz et al. 2023, arXiv 2305.09062)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from fewshot.losses.arguments import above_zero
from fewshot.losses.distances import euclidean, ranking_distances, rows
from fewshot.losses.episode import as_episodes
from fewshot.losses.precision import full_precision


@full_precision
def proto_triplet(support: Tensor, query: Tensor, margin: float = 0.5) -> Tensor:
    """Mean over the queries of max(0, d(z_q, c_y) - min_{n != y} d(z_q, c_n) + margin), zeros included.

    d(a, b) = sqrt(||a - b||^2 + 1e-6). The anchor is the query, the positive its own prototype, the negative
    the nearest wrong prototype. Prototypes are not detached: the gradient reaches supports and queries.
    With one class there is no negative, and the loss is 0.

    Args:
        support: [episodes, ways, shots, dim], or [ways, shots, dim].
        query: [episodes, ways, queries, dim], or [ways, queries, dim].
        margin: in the units of the embedding.

    Returns:
        0-d tensor.
    """
    support, query = as_episodes(support, query)
    ways = support.shape[1]
    prototypes = support.mean(2)  # [episodes, ways, dim]
    positive = euclidean(query, prototypes[:, :, None])  # [episodes, ways, queries]
    if ways == 1:
        return positive.sum() * 0.0
    ranking = ranking_distances(query.flatten(1, 2), prototypes).view(*query.shape[:3], ways)
    own = torch.eye(ways, dtype=torch.bool, device=query.device)[None, :, None, :]
    nearest_wrong = ranking.masked_fill(own, torch.inf).argmin(-1)  # [episodes, ways, queries]
    negative = euclidean(query, rows(prototypes, nearest_wrong))
    return (positive - negative + margin).clamp(min=0).mean()


class ProtoTriplet(nn.Module):
    """`proto_triplet` with its margin."""

    kind: ClassVar[Literal["episodic", "batch"]] = "episodic"

    def __init__(self, margin: float = 0.5) -> None:
        super().__init__()
        self.margin = above_zero(margin=margin)

    def forward(self, support: Tensor, query: Tensor) -> Tensor:
        return proto_triplet(support, query, self.margin)
