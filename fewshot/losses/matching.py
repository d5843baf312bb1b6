"""Matching networks: attention over the supports (Vinyals et al. 2016, arXiv 1606.04080).

Without the paper's full-context embeddings: query and support are embedded by the backbone alone.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor, nn

from fewshot.losses.arguments import above_zero
from fewshot.losses.distances import unit
from fewshot.losses.episode import as_episodes
from fewshot.losses.precision import full_precision


@full_precision
def matching(support: Tensor, query: Tensor, scale: float = 1.0) -> Tensor:
    """Mean over queries of -log sum_{s of class y_q} a(q, s), where a is the attention of the query.

    a(q, s) = exp(scale cos(q, s)) / sum over all supports s' of exp(scale cos(q, s')); Vinyals et al. 2016,
    equation 1.

    Args:
        support: [episodes, ways, shots, dim], or [ways, shots, dim].
        query: [episodes, ways, queries, dim], or [ways, queries, dim].
        scale: inverse temperature of the attention; 1 in the paper.

    Returns:
        0-d tensor.
    """
    support, query = as_episodes(support, query)
    cosines = unit(query.flatten(1, 2)) @ unit(support.flatten(1, 2)).mT
    logits = scale * cosines.view(*query.shape[:3], *support.shape[1:3])
    by_class = logits.logsumexp(-1).log_softmax(-1)  # [episodes, ways, queries, ways]
    return -by_class.diagonal(dim1=1, dim2=3).mean()


class MatchingNetwork(nn.Module):
    """`matching` with its scale."""

    kind: ClassVar[Literal["episodic", "batch"]] = "episodic"

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = above_zero(scale=scale)

    def forward(self, support: Tensor, query: Tensor) -> Tensor:
        return matching(support, query, self.scale)
