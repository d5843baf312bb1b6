"""A power transform before any classifier: PT of PT-MAP (Hu et al. 2021, arXiv 2006.03806)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import normalize

from fewshot.errors import InputError
from fewshot.evaluation.classifiers.classifier import Classifier, Fitted, OnTable, on_table

FLOOR = 1e-6
"""Added to every number before it is raised, as in the paper."""


@dataclass(frozen=True, eq=False)
class PowerTransform:
    """Raise every number to a power and scale to length one (equation 1); for embeddings behind a ReLU.

    Attributes:
        classifier: what then sees the embeddings.
        power: 0.5 in the paper. Numbers below 0 count as 0.
    """

    classifier: Classifier
    power: float = 0.5
    block_bytes: ClassVar[int] = 4 << 20

    def __post_init__(self) -> None:
        if not self.power > 0:
            raise InputError(f"classifier.power={self.power} must be above 0")

    @property
    def transductive(self) -> bool:
        return self.classifier.transductive

    def transform(self, embeddings: Tensor) -> Tensor:
        """Embeddings [..., dim], transformed."""
        return normalize((embeddings.clamp(min=0) + FLOOR) ** self.power, dim=-1)

    def fit(self, support: Tensor) -> PowerFitted:
        """The inner classifier, fitted on transformed supports [episodes, ways, shots, dim]."""
        return PowerFitted(self, self.classifier.fit(self.transform(support)))

    def fit_labelled(self, support: Tensor, labels: Tensor, ways: int) -> PowerFitted:
        """The inner classifier, fitted on transformed supports [episodes, n, dim]."""
        return PowerFitted(self, self.classifier.fit_labelled(self.transform(support), labels, ways))

    def on(self, features: Tensor) -> OnTable:
        """The inner classifier over a table [n, dim] that is transformed once."""
        return on_table(self.classifier, self.transform(features))


@dataclass(frozen=True, eq=False)
class PowerFitted:
    """A fitted classifier behind the transform."""

    before: PowerTransform
    fitted: Fitted

    def predict(self, query: Tensor) -> Tensor:
        """Scores [episodes, m, ways] of queries [episodes, m, dim]."""
        return self.fitted.predict(self.before.transform(query))
