"""The class whose mean support embedding is nearest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, normalize, one_hot

from fewshot.errors import InputError
from fewshot.evaluation.classifiers.classifier import RowGather

PRECISIONS = ("float32", "bf16")


@dataclass(frozen=True)
class NearestPrototype:
    """Nearest class mean (Snell et al. 2017, equations 1 and 2).

    Attributes:
        similarity: euclidean (minus the squared distance to the prototype) or cosine (of the angle to it).
        precision: of the products of queries with prototypes: float32 or bf16, which moves half the bytes;
            prototypes are float32 means in either case. It touches evaluation of a whole testbed alone.
    """

    similarity: Literal["euclidean", "cosine"] = "euclidean"
    precision: Literal["float32", "bf16"] = "float32"
    block_bytes: ClassVar[int] = 4 << 20
    transductive: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise InputError(
                f"classifier.precision={self.precision!r} must be one of {', '.join(PRECISIONS)}"
            )

    def fit(self, support: Tensor) -> LinearScores:
        """Prototypes of supports [episodes, ways, shots, dim]."""
        return self.fit_prototypes(support.mean(dim=2))

    def fit_labelled(self, support: Tensor, labels: Tensor, ways: int) -> LinearScores:
        """Prototypes of supports [episodes, n, dim] with labels [episodes, n]."""
        return self.fit_prototypes(class_means(support, labels, ways))

    def fit_prototypes(self, prototypes: Tensor, origin: Tensor | None = None) -> LinearScores:
        """Scores by prototypes [episodes, ways, dim].

        Args:
            prototypes: means of the supports.
            origin: [dim], what queries will have had subtracted; None for nothing. Cosines need None.
        """
        if self.similarity == "cosine":
            return LinearScores(normalize(prototypes, dim=-1), None)
        # -|q - p|^2 = 2 q.p - |p|^2 + constant of q. Taken from the mean m of the prototypes it is
        # 2 q.(p - m) - (p - m).(p + m) + constant of q, which does not lose the digits of the
        # distances where all embeddings share a large mean, as those behind a ReLU do.
        mean = prototypes.mean(dim=1, keepdim=True)
        offsets = prototypes - mean
        middle = prototypes + mean if origin is None else prototypes + mean - 2 * origin
        return LinearScores(2 * offsets, -(offsets * middle).sum(dim=-1))

    def on(self, features: Tensor) -> PrototypesOfRows:
        """The classifier over a table float32 [n, dim], for any number of its episodes."""
        origin, queries = None, features
        if self.similarity == "cosine":
            queries = normalize(features, dim=-1)  # once an image, not once an episode
        elif self.precision == "bf16":
            # Eight bits go further where the common mean has been taken away.
            origin = features.mean(dim=0)
            queries = features - origin
        if self.precision == "bf16":
            queries = queries.bfloat16()
        return PrototypesOfRows(self, features, RowGather(queries), origin)


def class_means(support: Tensor, labels: Tensor, ways: int) -> Tensor:
    """Means [episodes, ways, dim] of supports [episodes, n, dim] with labels [episodes, n]."""
    sums, counts = class_sums(support, labels, ways)
    return sums / counts


def class_sums(support: Tensor, labels: Tensor, ways: int) -> tuple[Tensor, Tensor]:
    """Sums [episodes, ways, dim] of supports [episodes, n, dim] by label; counts [episodes, ways, 1]."""
    members = one_hot(labels, ways).to(support.dtype)  # [episodes, n, ways]
    return torch.bmm(members.mT, support), members.sum(dim=1)[..., None]


@dataclass(frozen=True, eq=False)
class LinearScores:
    """Scores that are affine in the query, or the cosine where there is no bias.

    Attributes:
        weight: [episodes, ways, dim].
        bias: [episodes, ways]; None divides the scores by the query's norm instead.
    """

    weight: Tensor
    bias: Tensor | None

    def predict(self, query: Tensor) -> Tensor:
        """Scores [episodes, m, ways] of queries [episodes, m, dim]."""
        if self.bias is None:
            return torch.bmm(normalize(query, dim=-1), self.weight.transpose(1, 2))
        return torch.baddbmm(self.bias[:, None, :], query, self.weight.transpose(1, 2))


@dataclass(frozen=True, eq=False)
class PrototypesOfRows:
    """Nearest prototypes over a table: each support row is read once and never copied.

    Attributes:
        options: of the classifier.
        features: [n, dim], whose rows are averaged.
        queries: the same rows as products want them: normalised for cosines, in the precision of the options.
        origin: [dim], what the queries had subtracted, or None.
    """

    options: NearestPrototype
    features: Tensor
    queries: RowGather
    origin: Tensor | None

    def curve(self, support: Tensor, query: Tensor, shots: Sequence[int]) -> Iterator[Tensor]:
        """See `OnTable`."""
        episodes, ways, _ = support.shape
        gathered = self.queries(query)  # [episodes, m, dim]
        for count in shots:
            bags = support[:, :, :count].reshape(-1, count)
            prototypes = embedding_bag(bags, self.features, mode="mean").view(episodes, ways, -1)
            fitted = self.options.fit_prototypes(prototypes, self.origin)
            # Ways first is the order in which a product of few ways with many queries is fast; ways last
            # and contiguous that in which the highest score is found fast.
            scores = torch.bmm(fitted.weight.to(gathered.dtype), gathered.mT)
            scores = scores.mT.to(torch.float32, memory_format=torch.contiguous_format, copy=True)
            yield scores if fitted.bias is None else scores.add_(fitted.bias[:, None, :])
