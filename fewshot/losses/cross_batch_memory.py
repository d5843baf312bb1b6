"""Cross-batch memory: earlier embeddings as further examples (Wang et al. 2020, arXiv 1912.06798)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from fewshot.errors import InputError
from fewshot.losses.arguments import above_zero, at_least_one


class CrossBatchMemory(nn.Module):
    """loss(batch) + weight * loss(batch against the memory), then the batch replaces the oldest rows.

    The memory is a ring of detached embeddings; a place that was not filled yet has label -1 and counts as no
    example. It is part of the state that checkpoints hold.

    Args:
        loss: a loss on pairs, called with (embeddings, labels, others, other_labels).
        dim: of the embeddings.
        size: rows of the memory.
        weight: of the second term; 1 in the paper.

    Raises:
        InputError: the loss compares embeddings with proxies or prototypes; a number out of its range.
    """

    kind: ClassVar[Literal["episodic", "batch"]] = "batch"
    features: Tensor
    labels: Tensor
    place: Tensor

    def __init__(self, loss: nn.Module, dim: int, size: int = 4096, weight: float = 1.0) -> None:
        super().__init__()
        if not getattr(loss, "takes_others", False):
            raise InputError(
                f"memory=cross_batch is for losses on pairs of images; {type(loss).__name__} is none: "
                "use memory=none"
            )
        self.loss = loss
        self.weight = above_zero(weight=weight)
        self.register_buffer("features", torch.zeros(at_least_one(size=size), dim))
        self.register_buffer("labels", torch.full((size,), -1))
        self.register_buffer("place", torch.zeros((), dtype=torch.int64))

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The loss (0-d) of embeddings [m, dim] with labels int64 [m]."""
        clean: Tensor = self.loss(embeddings, labels)
        remembered: Tensor = self.loss(embeddings, labels, self.features.clone(), self.labels.clone())
        if self.training:
            self._remember(embeddings.detach(), labels)
        return clean + self.weight * remembered

    @torch.no_grad()
    def _remember(self, embeddings: Tensor, labels: Tensor) -> None:
        size = len(self.features)
        embeddings, labels = embeddings[-size:], labels[-size:]
        places = (self.place + torch.arange(len(labels), device=labels.device)) % size
        self.features.index_copy_(0, places, embeddings.to(self.features.dtype))
        self.labels.index_copy_(0, places, labels)
        self.place.copy_((self.place + len(labels)) % size)
