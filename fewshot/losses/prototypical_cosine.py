"""Prototypical cross-entropy on cosines with a learnt scale (Meta-Baseline, Chen et al. 2021)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from fewshot.losses.arguments import above_zero, share
from fewshot.losses.distances import unit
from fewshot.losses.episode import as_episodes, query_cross_entropy
from fewshot.losses.generic import Form
from fewshot.losses.precision import full_precision
from fewshot.losses.similarity import Similarity
from fewshot.losses.softmax_form import softmax_form


@full_precision
def prototype_cosines(support: Tensor, query: Tensor) -> Tensor:
    """cos(z_q, c_n), where c_n is the mean of the supports of class n, which are not normalised before.

    Args:
        support: [episodes, ways, shots, dim], or [ways, shots, dim].
        query: [episodes, ways, queries, dim], or [ways, queries, dim].

    Returns:
        [episodes, ways, queries, ways], last the candidate class n.
    """
    support, query = as_episodes(support, query)
    cosines = unit(query.flatten(1, 2)) @ unit(support.mean(2)).mT
    return cosines.view(*query.shape[:3], support.shape[1])


class CosinePrototypicalCrossEntropy(nn.Module):
    """Mean over queries of -log softmax_n(scale * cos(z_q, c_n))[y_q].

    Args:
        scale: inverse temperature; the start of it where it is learnt.
        learnable_scale: makes the scale a parameter.
        label_smoothing: share of the target spread over all the classes.

    Raises:
        InputError: a scale that is not above 0, smoothing outside [0, 1).
    """

    kind: ClassVar[Literal["episodic", "batch"]] = "episodic"
    similarity: ClassVar[Similarity] = "cosine"
    scale: Tensor

    def __init__(
        self, scale: float = 10.0, learnable_scale: bool = True, label_smoothing: float = 0.0
    ) -> None:
        super().__init__()
        start = torch.tensor(float(above_zero(scale=scale)))
        if learnable_scale:
            self.scale = nn.Parameter(start)
        else:
            self.register_buffer("scale", start)
        self.label_smoothing = share(label_smoothing=label_smoothing)

    @property
    def form(self) -> Form:
        """The loss in the generic form: queries are anchors, prototypes their examples; no smoothing."""
        return softmax_form(1 / self.scale)

    def forward(self, support: Tensor, query: Tensor) -> Tensor:
        return query_cross_entropy(self.scale * prototype_cosines(support, query), self.label_smoothing)
