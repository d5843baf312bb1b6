"""What stands between pooled features and the loss: nothing, a linear map, or a projector."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class Head(nn.Module):
    """Maps features [n, in_features] to embeddings [n, dim].

    Args:
        layers: the map itself.
        dim: of the embedding.
        normalize: divide each embedding by its Euclidean norm.
        training_only: the loss sees the head's output, evaluation the features below it
            (see `Embedder.embed`).
    """

    def __init__(self, layers: nn.Module, dim: int, normalize: bool, training_only: bool) -> None:
        super().__init__()
        self.layers = layers
        self.dim = dim
        self.normalize = normalize
        self.training_only = training_only

    def forward(self, features: Tensor) -> Tensor:
        embeddings: Tensor = self.layers(features)
        # Under bf16 autocast a norm taken in bf16 would leave unit vectors 0.4% off the sphere.
        if embeddings.dtype.itemsize < 4:
            embeddings = embeddings.float()
        return F.normalize(embeddings, dim=1) if self.normalize else embeddings

    def extra_repr(self) -> str:
        return f"dim={self.dim}, normalize={self.normalize}, training_only={self.training_only}"


class NoHead(Head):
    """The pooled features are the embedding."""

    def __init__(self, in_features: int, normalize: bool = False) -> None:
        super().__init__(nn.Identity(), in_features, normalize, training_only=False)


class LinearHead(Head):
    """One affine map, weights Kaiming normal by fan-out and bias zero (the Metrix embedding layer).

    Args:
        in_features: dim of the pooled features.
        dim: of the embedding: 512 in Metrix, 128 in the NCA of Laenen & Bertinetto (2021), training only.
        normalize, training_only: see `Head`.
    """

    def __init__(
        self, in_features: int, dim: int = 512, normalize: bool = False, training_only: bool = False
    ) -> None:
        if dim < 1:
            raise ValueError(f"dim={dim} must be at least 1")
        layer = nn.Linear(in_features, dim)
        nn.init.kaiming_normal_(layer.weight, mode="fan_out")
        nn.init.zeros_(layer.bias)
        super().__init__(layer, dim, normalize, training_only)


class ClassifierHead(Head):
    """A linear classifier of the ways of an episode, which MAML and ANIL adapt; initialised as torch does.

    Evaluation without adaptation sees the features below it.

    Args:
        in_features: dim of the pooled features.
        ways: classes of an episode.
    """

    def __init__(self, in_features: int, ways: int = 5) -> None:
        if ways < 2:
            raise ValueError(f"ways={ways} leaves nothing to tell apart: use 2 or more")
        super().__init__(nn.Linear(in_features, ways), ways, normalize=False, training_only=True)


class ProjectorHead(Head):
    """Linear maps with ReLU between them, the projector of supervised contrastive learning.

    Args:
        in_features: dim of the pooled features.
        widths: of the hidden layers and, last, of the embedding; PRD has 512, 512, 128 on 512 features.
        normalize, training_only: see `Head`.
    """

    def __init__(
        self,
        in_features: int,
        widths: Sequence[int] = (512, 512, 128),
        normalize: bool = True,
        training_only: bool = True,
    ) -> None:
        if not widths or min(widths) < 1:
            raise ValueError(f"widths={list(widths)} must name at least one layer, each of at least 1")
        layers: list[nn.Module] = []
        for below, above in itertools.pairwise((in_features, *widths)):
            layers += [nn.Linear(below, above), nn.ReLU()]
        super().__init__(nn.Sequential(*layers[:-1]), widths[-1], normalize, training_only)
