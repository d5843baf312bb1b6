"""Centring and L2 normalisation of embeddings before any classifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import normalize

from fewshot.errors import InputError
from fewshot.evaluation.classifiers.classifier import Classifier, Fitted, OnTable, on_table


@dataclass(frozen=True, eq=False)
class CL2N:
    """CL2N of SimpleShot (Wang et al. 2019, section 3): subtract the training mean, scale to length one.

    Attributes:
        classifier: what then sees the embeddings.
        mean: float [dim], the mean embedding of the training images; a checkpoint holds it.
    """

    classifier: Classifier
    mean: Tensor | None = None
    block_bytes: ClassVar[int] = 4 << 20

    @property
    def transductive(self) -> bool:
        return self.classifier.transductive

    def transform(self, embeddings: Tensor) -> Tensor:
        """Embeddings [..., dim], centred and of length one (zero stays zero).

        Raises:
            InputError: there is no mean, or it has another dim.
        """
        if self.mean is None:
            raise InputError(
                "classifier=cl2n needs the mean of the training embeddings, which these weights come "
                "without; use a trained run, or another classifier"
            )
        if self.mean.shape != embeddings.shape[-1:]:
            raise InputError(
                f"classifier=cl2n: the stored mean has {len(self.mean)} dimensions, the embeddings "
                f"have {embeddings.shape[-1]}; it belongs to another model"
            )
        return normalize(embeddings - self.mean.to(embeddings), dim=-1)

    def fit(self, support: Tensor) -> CL2NFitted:
        """The inner classifier, fitted on transformed supports [episodes, ways, shots, dim]."""
        return CL2NFitted(self, self.classifier.fit(self.transform(support)))

    def fit_labelled(self, support: Tensor, labels: Tensor, ways: int) -> CL2NFitted:
        """The inner classifier, fitted on transformed supports [episodes, n, dim]."""
        return CL2NFitted(self, self.classifier.fit_labelled(self.transform(support), labels, ways))

    def on(self, features: Tensor) -> OnTable:
        """The inner classifier over a table [n, dim] that is transformed once, not once an episode."""
        return on_table(self.classifier, self.transform(features))


@dataclass(frozen=True, eq=False)
class CL2NFitted:
    """A fitted classifier behind the transform."""

    before: CL2N
    fitted: Fitted

    def predict(self, query: Tensor) -> Tensor:
        """Scores [episodes, m, ways] of queries [episodes, m, dim]."""
        return self.fitted.predict(self.before.transform(query))
