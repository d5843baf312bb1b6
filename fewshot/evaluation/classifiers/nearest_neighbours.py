"""The vote of the nearest support embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from fewshot.errors import InputError
from fewshot.evaluation.classifiers.classifier import balanced_labels


@dataclass(frozen=True)
class NearestNeighbours:
    """Each of the k nearest supports votes for its class; of equal counts the class that is nearer wins.

    Attributes:
        k: supports that vote; all of them where there are fewer.
        similarity: euclidean or cosine.
    """

    k: int = 1
    similarity: Literal["euclidean", "cosine"] = "euclidean"
    block_bytes: ClassVar[int] = 16 << 20
    transductive: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.k < 1:
            raise InputError(f"classifier.k={self.k} must be at least 1")

    def fit(self, support: Tensor) -> Neighbours:
        """Keep the supports [episodes, ways, shots, dim]."""
        return self.fit_labelled(support.flatten(1, 2), balanced_labels(support), support.shape[1])

    def fit_labelled(self, support: Tensor, labels: Tensor, ways: int) -> Neighbours:
        """Keep the supports [episodes, n, dim] with their labels [episodes, n]."""
        return Neighbours(support, labels, ways, self.k, self.similarity)


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The supports [episodes, n, dim] of a block of episodes, and their labels [episodes, n]."""

    support: Tensor
    labels: Tensor
    ways: int
    k: int
    similarity: str

    def predict(self, query: Tensor) -> Tensor:
        """Votes [episodes, m, ways], less a share below one that grows with the rank of the nearest voter."""
        supports, ways = self.support, self.ways
        if self.similarity == "cosine":
            closeness = torch.bmm(normalize(query, dim=-1), normalize(supports, dim=-1).mT)
        else:
            # |q|^2 is left out; centring keeps the digits where all embeddings share a large mean.
            centre = supports.mean(dim=1, keepdim=True)
            offsets = supports - centre
            half = (offsets * (supports + centre)).sum(dim=-1)[:, None, :]
            closeness = torch.baddbmm(half, query, offsets.mT, beta=-1, alpha=2)
        k = min(self.k, supports.shape[1])
        # A stable sort, since topk leaves the order of equal distances open.
        order = closeness.sort(dim=-1, descending=True, stable=True).indices
        labels = self.labels[:, None, :].expand(-1, query.shape[1], -1)
        nearest = labels.gather(-1, order[..., :k])  # the ways of the k nearest, by rank
        votes = closeness.new_zeros(*query.shape[:2], ways)
        votes.scatter_add_(-1, nearest, torch.ones_like(closeness[..., :k]))
        rank = torch.arange(k, dtype=closeness.dtype, device=closeness.device).expand(nearest.shape)
        first = closeness.new_full(votes.shape, k).scatter_reduce_(-1, nearest, rank, "amin")
        return votes - first / (k + 1)
