"""Episodic training: embed the episodes of a step, compare queries with supports."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fewshot.losses.combined import Combined
from fewshot.models.embedder import Embedder
from fewshot.objectives.prototype_accuracy import prototype_accuracy
from fewshot.sampling.feed import Batch


class Episodic(nn.Module):
    """An embedder trained with an episodic loss.

    All episodes of a batch go through the network in one forward, so they share the statistics of
    BatchNorm in training mode; `sampler.episodes=1`, the default, keeps each episode's its own. Of several
    processes each computes the loss of its own episodes, weighted so that the mean is that of all.

    Args:
        embedder: images to embeddings.
        loss: (support [E, W, S, D], query [E, W, Q, D]) -> scalar.
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
        """Loss (0-d) and what to log: each term, and the nearest-prototype accuracy of the queries."""
        if batch.episodes is None:
            raise ValueError("an episodic objective needs a batch of episodes")
        episodes, ways, shots, queries = batch.episodes
        embeddings = self.embedder(batch.images).float().reshape(episodes, ways, shots + queries, -1)
        support, query = embeddings[:, :, :shots], embeddings[:, :, shots:]
        if isinstance(self.loss, Combined):
            terms = self.loss.named_terms(support, query)
            loss = self.loss.combine(terms)
        else:
            terms = {}
            loss = self.loss(support, query)
        logs = {name: value.detach() for name, value in terms.items()}
        logs["accuracy"] = prototype_accuracy(support.detach(), query.detach())
        return (loss, logs) if batch.share is None else batch.share.weighted(loss, logs)
