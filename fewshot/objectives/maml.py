"""MAML and ANIL: train a network for how well it does after it was adapted."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot.models.embedder import Embedder
from fewshot.objectives.adaptation import Adaptation, require_classifier
from fewshot.sampling.feed import Batch


class MAML(nn.Module):
    """Mean over the episodes of a step of L_query(theta'), theta' being adapted to the episode's support.

    Finn et al. 2017 (arXiv 1703.03400), equation 1; with `adapt=head` Raghu et al. 2020 (arXiv 1909.09157).

    Args:
        embedder: its head has as many outputs as an episode has ways.
        adaptation: the inner loop.
        ways: of the episodes.

    Raises:
        InputError: the head's outputs are not the ways, or learn2learn is not installed.
    """

    embedder: Embedder

    def __init__(self, embedder: Embedder, adaptation: Adaptation, ways: int) -> None:
        super().__init__()
        require_classifier(embedder, ways)
        adaptation.require_package()
        self.embedder = embedder
        self.adaptation = adaptation

    def forward(
        self, batch: Batch, generator: torch.Generator | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss (0-d) and what to log: the share of the queries that the adapted networks label rightly."""
        if batch.episodes is None:
            raise ValueError("MAML needs a batch of episodes")
        episodes, ways, shots, queries = batch.episodes
        images = batch.images.reshape(episodes, ways, shots + queries, *batch.images.shape[1:])
        truth = torch.arange(ways, device=images.device).repeat_interleave(queries)
        losses, accuracies = [], []
        # One episode after another: each has a network of its own.
        for episode in images:
            support, query = episode[:, :shots].flatten(0, 1), episode[:, shots:].flatten(0, 1)
            logits = self.adaptation.fitted(self.embedder, support, ways)(query)
            losses.append(F.cross_entropy(logits, truth))
            accuracies.append((logits.detach().argmax(1) == truth).float().mean())
        return torch.stack(losses).mean(), {"accuracy": torch.stack(accuracies).mean()}
