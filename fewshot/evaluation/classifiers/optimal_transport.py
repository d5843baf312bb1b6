"""Prototypes moved by optimal transport of queries: MAP of PT-MAP (Hu et al. 2021, arXiv 2006.03806)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from fewshot.errors import InputError
from fewshot.evaluation.classifiers.classifier import balanced_labels
from fewshot.evaluation.classifiers.nearest_prototype import NearestPrototype, class_sums


@dataclass(frozen=True)
class OptimalTransport:
    """Each step spreads the queries evenly over the classes and moves the prototypes (algorithm 1).

    M = the transport of least cost |q_m - p_c|^2, smoothed by entropy (Sinkhorn), in which each query has
    mass 1 and each class m / ways of it;  p_c <- p_c + rate (mean of supports and M-weighted queries - p_c).

    It is transductive, and it assumes as many queries of each class: on others its accuracy means nothing.

    Attributes:
        steps: moves of the prototypes.
        rate: of a move, in (0, 1].
        sharpness: of the transport, lambda in the paper; its fit depends on the scale of the embeddings.
        sinkhorn: rounds of Sinkhorn's normalisation of rows and columns.
    """

    steps: int = 20
    rate: float = 0.4
    sharpness: float = 10.0
    sinkhorn: int = 50
    block_bytes: ClassVar[int] = 4 << 20
    transductive: ClassVar[bool] = True
    assumes_balance: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("steps", "sinkhorn"):
            if getattr(self, name) < 1:
                raise InputError(f"classifier.{name}={getattr(self, name)} must be at least 1")
        if not 0 < self.rate <= 1:
            raise InputError(f"classifier.rate={self.rate} must lie above 0 and up to 1")
        if not self.sharpness > 0:
            raise InputError(f"classifier.sharpness={self.sharpness} must be above 0")

    def fit(self, support: Tensor) -> TransportedPrototypes:
        """Prototypes of supports [episodes, ways, shots, dim], which the queries then move."""
        return self.fit_labelled(support.flatten(1, 2), balanced_labels(support), support.shape[1])

    def fit_labelled(self, support: Tensor, labels: Tensor, ways: int) -> TransportedPrototypes:
        """Prototypes of supports [episodes, n, dim] with labels [episodes, n]."""
        return TransportedPrototypes(self, *class_sums(support, labels, ways))


@dataclass(frozen=True, eq=False)
class TransportedPrototypes:
    """Sums [episodes, ways, dim] of the supports of each class; their numbers [episodes, ways, 1]."""

    options: OptimalTransport
    sums: Tensor
    shots: Tensor

    def predict(self, query: Tensor) -> Tensor:
        """Scores [episodes, m, ways] of queries [episodes, m, dim]: logarithms of their transport."""
        prototypes = self.sums / self.shots
        transport = self._transport(prototypes, query)
        for _ in range(self.options.steps):
            weights = transport.exp().mT  # [episodes, ways, m]
            means = (self.sums + weights @ query) / (self.shots + weights.sum(dim=-1, keepdim=True))
            prototypes = prototypes + self.options.rate * (means - prototypes)
            transport = self._transport(prototypes, query)
        return transport

    def _transport(self, prototypes: Tensor, query: Tensor) -> Tensor:
        """Logarithm of the transport [episodes, m, ways]; rows add up to 1, columns nearly to m / ways."""
        closeness = NearestPrototype().fit_prototypes(prototypes).predict(query)
        # Rows first: closeness is known up to a constant for each query.
        plan = (self.options.sharpness * closeness).log_softmax(dim=-1)
        for _ in range(self.options.sinkhorn):
            plan = plan - plan.logsumexp(dim=-2, keepdim=True)
            plan = plan - plan.logsumexp(dim=-1, keepdim=True)
        return plan
