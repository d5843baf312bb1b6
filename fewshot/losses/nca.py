"""Neighbourhood component analysis on plain batches (Laenen & Bertinetto 2021, arXiv 2012.09831)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from fewshot.losses.arguments import above_zero
from fewshot.losses.distances import negative_squared_distances
from fewshot.losses.precision import full_precision


@full_precision
def nca(embeddings: Tensor, labels: Tensor, temperature: float = 0.9) -> Tensor:
    """Mean over i of -log of the share that i's own class has in the weights of the other images.

    loss_i = -log(sum_{j != i, y_j = y_i} w_ij / sum_{j != i} w_ij), w_ij = exp(-||z_i - z_j||^2 / T).
    An image without another one of its class in the batch contributes 0 and counts in the mean.

    Args:
        embeddings: [m, dim].
        labels: int64 [m].
        temperature: T, divides the squared distances.

    Returns:
        0-d tensor.

    Raises:
        ValueError: shapes that do not fit.
    """
    if embeddings.ndim != 2 or labels.shape != embeddings.shape[:1]:
        raise ValueError(
            "expected embeddings [m, dim] and labels [m]; "
            f"got {list(embeddings.shape)} and {list(labels.shape)}"
        )
    logits = negative_squared_distances(embeddings, embeddings) / temperature  # [m, m]
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    positive = (labels[:, None] == labels) & ~itself
    lonely = ~positive.any(1)  # filled with zeros before the log: the gradient of an empty sum would be NaN
    others = logits.masked_fill(itself, -torch.inf).masked_fill(lonely[:, None], 0)
    friends = logits.masked_fill(~positive, -torch.inf).masked_fill(lonely[:, None], 0)
    return (others.logsumexp(1) - friends.logsumexp(1)).mean()


class NCA(nn.Module):
    """`nca` with its temperature."""

    kind: ClassVar[Literal["episodic", "batch"]] = "batch"

    def __init__(self, temperature: float = 0.9) -> None:
        super().__init__()
        self.temperature = above_zero(temperature=temperature)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        return nca(embeddings, labels, self.temperature)
