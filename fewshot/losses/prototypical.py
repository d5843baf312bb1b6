"""Prototypical cross-entropy on squared Euclidean distances (Snell et al. 2017, arXiv 1703.05175)."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor, nn

from fewshot.losses.arguments import above_zero, share
from fewshot.losses.distances import negative_squared_distances
from fewshot.losses.episode import as_episodes, query_cross_entropy
from fewshot.losses.generic import Form
from fewshot.losses.precision import full_precision
from fewshot.losses.similarity import Similarity
from fewshot.losses.softmax_form import softmax_form


@full_precision
def prototype_logits(support: Tensor, query: Tensor) -> Tensor:
    """-||z_q - c_n||^2 up to a constant for each query, which no softmax over the classes sees.

    Args:
        support: [episodes, ways, shots, dim].
        query: [episodes, ways, queries, dim].

    Returns:
        [episodes, ways, queries, ways]; last the candidate class n, c_n the mean of its supports.
    """
    support, query = as_episodes(support, query)
    logits = negative_squared_distances(query.flatten(1, 2), support.mean(2))
    return logits.view(*query.shape[:3], support.shape[1])


def prototypical_cross_entropy(support: Tensor, query: Tensor, temperature: float = 1.0) -> Tensor:
    """Mean over queries of -log softmax_n(-||z_q - c_n||^2 / temperature)[y_q] (Snell et al. 2017, eq. 2).

    Args:
        support: [episodes, ways, shots, dim], or [ways, shots, dim].
        query: [episodes, ways, queries, dim], or [ways, queries, dim].
        temperature: divides the squared distances.

    Returns:
        0-d tensor.
    """
    return query_cross_entropy(prototype_logits(support, query) / temperature)


class PrototypicalCrossEntropy(nn.Module):
    """`prototypical_cross_entropy` with its temperature and label smoothing."""

    kind: ClassVar[Literal["episodic", "batch"]] = "episodic"
    similarity: ClassVar[Similarity] = "squared_euclidean"

    def __init__(self, temperature: float = 1.0, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.temperature = above_zero(temperature=temperature)
        self.label_smoothing = share(label_smoothing=label_smoothing)

    @property
    def form(self) -> Form:
        """The loss in the generic form: queries are anchors, prototypes their examples; no smoothing."""
        return softmax_form(self.temperature)

    def forward(self, support: Tensor, query: Tensor) -> Tensor:
        logits = prototype_logits(support, query) / self.temperature
        return query_cross_entropy(logits, self.label_smoothing)
