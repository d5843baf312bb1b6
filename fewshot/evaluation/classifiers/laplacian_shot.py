"""LaplacianShot: nearest prototypes, and neighbouring queries alike (Ziko et al. 2020, arXiv 2006.15486)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fewshot.errors import InputError
from fewshot.evaluation.classifiers.classifier import balanced_labels
from fewshot.evaluation.classifiers.nearest_prototype import NearestPrototype, class_means


@dataclass(frozen=True)
class LaplacianShot:
    """Assignments y_m of the queries that minimise (equations 1 to 3)

    sum_m y_m . a_m  -  weight / 2 sum_mn w_mn y_m . y_n,  a_mc = |q_m - p_c|^2

    by the bound's updates y_m <- softmax(-a_m + weight sum_n w_mn y_n) (equation 10). w_mn is 1 for the
    `neighbours` nearest queries n of m, else 0. Prototypes are means of supports; the paper's rectification
    of them is left out. It is transductive: all queries of an episode are seen together. The paper's
    embeddings are centred and of length one: classifier=cl2n classifier@classifier.classifier=laplacian_shot.

    Attributes:
        neighbours: of each query; all others where there are fewer.
        weight: of the Laplacian term, at least 0.
        steps: updates.
    """

    neighbours: int = 3
    weight: float = 0.7
    steps: int = 20
    block_bytes: ClassVar[int] = 4 << 20
    transductive: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("neighbours", "steps"):
            if getattr(self, name) < 1:
                raise InputError(f"classifier.{name}={getattr(self, name)} must be at least 1")
        if not self.weight >= 0:
            raise InputError(f"classifier.weight={self.weight} must be at least 0")

    def fit(self, support: Tensor) -> LaplacianOfQueries:
        """Prototypes of supports [episodes, ways, shots, dim]."""
        return self.fit_labelled(support.flatten(1, 2), balanced_labels(support), support.shape[1])

    def fit_labelled(self, support: Tensor, labels: Tensor, ways: int) -> LaplacianOfQueries:
        """Prototypes of supports [episodes, n, dim] with labels [episodes, n]."""
        return LaplacianOfQueries(self, class_means(support, labels, ways))


@dataclass(frozen=True, eq=False)
class LaplacianOfQueries:
    """Prototypes [episodes, ways, dim]."""

    options: LaplacianShot
    prototypes: Tensor

    def predict(self, query: Tensor) -> Tensor:
        """Scores [episodes, m, ways] of queries [episodes, m, dim]: logits of the last update."""
        unary = NearestPrototype().fit_prototypes(self.prototypes).predict(query)
        near = _neighbours(query, self.options.neighbours)
        scores = unary
        for _ in range(self.options.steps):
            scores = unary + self.options.weight * near @ scores.softmax(dim=-1)
        return scores


def _neighbours(query: Tensor, count: int) -> Tensor:
    """float [episodes, m, m]: 1 where the column is among the `count` nearest of the row, itself left out."""
    closeness = NearestPrototype().fit_prototypes(query).predict(query)  # up to a constant for each row
    itself = torch.eye(query.shape[1], dtype=torch.bool, device=query.device)
    count = min(count, query.shape[1] - 1)
    nearest = closeness.masked_fill(itself, -torch.inf).sort(dim=-1, descending=True, stable=True).indices
    return torch.zeros_like(closeness).scatter_(-1, nearest[..., :count], 1.0)
