"""A memory of images of earlier tasks, for the methods that replay."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fewshot.errors import InputError
from fewshot.models.embedder import Embedder
from fewshot.randomness import stream_bits


class Buffer(nn.Module):
    """At most `size` images as uint8, with their labels and, where asked for, logits.

    It is full-sized from the start and part of the state that checkpoints hold, as parameters without
    gradient: it is written between steps only, and the step guard would copy a buffer at every step.

    Args:
        size: images, at least 1.
        embedder: says how large an image is.
        logits: of so many classes are kept with each image; 0 for none.
        seed: of what is kept.

    Attributes:
        images: uint8 [size, channels, height, width]; the first `filled` are there.
        labels: int64 [size].
        logits: float32 [size, logits].
        filled: images that are there.
        met: images that were offered to the reservoir so far.

    Raises:
        InputError: no room for an image.
    """

    images: Tensor
    labels: Tensor
    logits: Tensor

    def __init__(self, size: int, embedder: Embedder, logits: int = 0, seed: int = 0) -> None:
        super().__init__()
        if size < 1:
            raise InputError(f"continual.buffer_size={size} must be at least 1 image")
        self.size = size
        self.seed = seed
        self.filled = 0
        self.met = 0
        shape = (size, embedder.channels, embedder.size, embedder.size)
        for name, content in (
            ("images", torch.zeros(shape, dtype=torch.uint8)),
            ("labels", torch.zeros(size, dtype=torch.int64)),
            ("logits", torch.zeros(size, logits)),
        ):
            self.register_parameter(name, nn.Parameter(content, requires_grad=False))

    @torch.no_grad()
    def reservoir(self, images: Tensor, labels: Tensor, logits: Tensor | None = None) -> None:
        """Offer images: each of all those met so far is kept with the same chance (Vitter 1985).

        The n-th image met depends on (seed, n) alone, so it is the same in blocks of any size.

        Args:
            images: uint8, or float in [0, 1], [n, channels, height, width].
            labels: int64 [n].
            logits: [n, classes], if the buffer keeps them.
        """
        place, chosen = self._places(len(images))
        place, chosen = place.to(self.labels.device), chosen.to(self.labels.device)
        self.images[place] = as_bytes(images.to(self.images.device)[chosen])
        self.labels[place] = labels.to(self.labels.device)[chosen]
        if logits is not None:
            self.logits[place] = logits.to(self.logits.device)[chosen].float()
        self.met += len(images)
        self.filled = min(self.size, self.met)

    @torch.no_grad()
    def replace(self, images: Tensor, labels: Tensor) -> None:
        """Hold exactly these images [n, channels, height, width], n at most `size`, with labels int64 [n]."""
        self.filled = len(images)
        self.images[: self.filled] = as_bytes(images)
        self.labels[: self.filled] = labels

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """int64 [min(count, filled)]: rows drawn without replacement, all equally likely."""
        order = torch.randperm(self.filled, generator=generator, device=generator.device)
        return order[:count].to(self.labels.device)

    def _places(self, n: int) -> tuple[Tensor, Tensor]:
        """Where the next n images go: rows of the buffer, each once, and which of the images ends there."""
        number: NDArray[np.int64] = np.arange(self.met, self.met + n, dtype=np.int64)
        drawn = stream_bits(self.seed, "reservoir", number, 1)[:, 0] % (number + 1).astype(np.uint64)
        place = np.where(number < self.size, number, drawn.astype(np.int64))
        kept = np.flatnonzero(place < self.size)
        # A later image takes the place of an earlier one: the first of a place in reverse order stays.
        places, first = np.unique(place[kept][::-1], return_index=True)
        return torch.from_numpy(places), torch.from_numpy(kept[::-1][first].copy())

    def get_extra_state(self) -> dict[str, Any]:
        return {"filled": self.filled, "met": self.met}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.filled, self.met = int(state["filled"]), int(state["met"])


def as_bytes(images: Tensor) -> Tensor:
    """uint8 images; floating ones are in [0, 1]."""
    return (images * 255).round().byte() if images.is_floating_point() else images
