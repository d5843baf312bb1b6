"""The features of a frozen backbone, computed once for all training images."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fewshot.data.image_set import ImageSet
from fewshot.evaluation.embeddings import Embeddings, embed
from fewshot.models.embedder import Embedder
from fewshot.progress import Progress
from fewshot.training.device import Machine


@dataclass(eq=False)
class CachedFeatures:
    """Stands where a feed has its images, and gives their pooled features, which `Embedder.forward` takes.

    Attributes:
        embedder: with a frozen backbone.
        image_set: the pixels.
        images: int64 [n], the numbers of those that are trained on.
        machine: what to embed on; the features stay there, 4 feature_dim bytes an image.
    """

    embedder: Embedder
    image_set: ImageSet
    images: NDArray[np.int64]
    machine: Machine
    _made: Embeddings | None = field(default=None, repr=False)

    def gather(self, indices: NDArray[np.int64]) -> Tensor:
        """float32 [n, feature_dim] of images int64 [n]; the first call embeds all."""
        if self._made is None:
            self._made = self._embed()
        return self._made.features[torch.from_numpy(self._made.rows_of(indices))]

    def _embed(self) -> Embeddings:
        training = self.embedder.training
        network = _Features(self.embedder).eval()
        try:
            with Progress("embedding train once", len(self.images), "images") as progress:
                return embed(
                    network,
                    self.image_set,
                    self.images,
                    device=self.machine.device,
                    precision=self.machine.precision,
                    progress=progress.advance,
                )
        finally:
            self.embedder.train(training)


class _Features(nn.Module):
    """Shows `embed` the features below the head."""

    def __init__(self, embedder: Embedder) -> None:
        super().__init__()
        self.embedder = embedder

    def embed(self, images: Tensor) -> Tensor:
        return self.embedder.features(images)
