"""The class whose mean support embedding is nearest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize


@dataclass(frozen=True)
class NearestPrototype:
    """Nearest class mean (Snell et al. 2017, equations 1 and 2).

    Attributes:
        similarity: euclidean (minus the squared distance to the prototype) or cosine (of the angle to it).
    """

    similarity: Literal["euclidean", "cosine"] = "euclidean"
    block_bytes: ClassVar[int] = 8 << 20

    def fit(self, support: Tensor) -> LinearScores:
        """Prototypes of supports [episodes, ways, shots, dim]."""
        prototypes = support.mean(dim=2)  # [episodes, ways, dim]
        if self.similarity == "cosine":
            return LinearScores(normalize(prototypes, dim=-1), None)
        # -|q - p|^2 = 2 q.p - |p|^2 + constant of q. Taken from the mean m of the prototypes it is
        # 2 q.(p - m) - (p - m).(p + m) + constant of q, which does not lose the digits of the
        # distances where all embeddings share a large mean, as those behind a ReLU do.
        mean = prototypes.mean(dim=1, keepdim=True)
        offsets = prototypes - mean
        return LinearScores(2 * offsets, -(offsets * (prototypes + mean)).sum(dim=-1))


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
