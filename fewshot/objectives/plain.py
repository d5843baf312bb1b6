"""Training on labelled batches: classifiers for pre-training, NCA, and pair losses."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fewshot.models.embedder import Embedder
from fewshot.sampling.feed import Batch


class Plain(nn.Module):
    """An embedder trained with a loss on (embeddings, labels).

    A batch of episodes serves as well: its images are a batch of P classes x K images. Of several processes
    each embeds its share, gathers all embeddings, and computes the loss of the whole batch.

    Args:
        embedder: images to embeddings.
        loss: (embeddings [n, D], labels [n]) -> scalar; it owns its classifier or proxies.
    """

    embedder: Embedder
    loss: nn.Module

    def __init__(self, embedder: Embedder, loss: nn.Module) -> None:
        super().__init__()
        self.embedder = embedder
        self.loss = loss

    def forward(
        self, batch: Batch, generator: torch.Generator | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss (0-d) and what to log (nothing but the loss itself)."""
        embeddings = self.embedder(batch.images).float()
        if batch.share is not None:
            embeddings = batch.share.gather(embeddings)
        loss: Tensor = self.loss(embeddings, batch.labels)
        return loss, {}
