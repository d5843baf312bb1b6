"""Prototypes refined by soft k-means over the queries (Ren et al. 2018, arXiv 1803.00676)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from fewshot.errors import InputError
from fewshot.evaluation.classifiers.classifier import balanced_labels
from fewshot.evaluation.classifiers.nearest_prototype import NearestPrototype, class_sums


@dataclass(frozen=True)
class SoftKMeans:
    """Each step assigns the queries softly and takes the means of supports and queries (equations 3 and 4).

    z_mc = softmax_c(-scale |q_m - p_c|^2),  p_c <- (sum_s x_cs + sum_m z_mc q_m) / (shots + sum_m z_mc)

    It is transductive: all queries of an episode are seen together. They stand in for the paper's unlabelled
    images.

    Attributes:
        steps: of refinement; one in the paper.
        scale: of the squared distances, above 0.
    """

    steps: int = 1
    scale: float = 1.0
    block_bytes: ClassVar[int] = 4 << 20
    transductive: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise InputError(f"classifier.steps={self.steps} must be at least 1")
        if not self.scale > 0:
            raise InputError(f"classifier.scale={self.scale} must be above 0")

    def fit(self, support: Tensor) -> SoftMeans:
        """Prototypes of supports [episodes, ways, shots, dim], which the queries then refine."""
        return self.fit_labelled(support.flatten(1, 2), balanced_labels(support), support.shape[1])

    def fit_labelled(self, support: Tensor, labels: Tensor, ways: int) -> SoftMeans:
        """Prototypes of supports [episodes, n, dim] with labels [episodes, n]."""
        return SoftMeans(self, *class_sums(support, labels, ways))


@dataclass(frozen=True, eq=False)
class SoftMeans:
    """Sums [episodes, ways, dim] of the supports of each class; their numbers [episodes, ways, 1]."""

    options: SoftKMeans
    sums: Tensor
    shots: Tensor

    def predict(self, query: Tensor) -> Tensor:
        """Scores [episodes, m, ways] of queries [episodes, m, dim]: scaled squared distances, negated."""
        scores = self._scores(self.sums / self.shots, query)
        for _ in range(self.options.steps):
            share = scores.softmax(dim=-1).mT  # [episodes, ways, m]
            prototypes = (self.sums + share @ query) / (self.shots + share.sum(dim=-1, keepdim=True))
            scores = self._scores(prototypes, query)
        return scores

    def _scores(self, prototypes: Tensor, query: Tensor) -> Tensor:
        return self.options.scale * NearestPrototype().fit_prototypes(prototypes).predict(query)
