"""Cross-entropy of a cosine classifier: Baseline++ (Chen et al. 2019, "A Closer Look", arXiv 1904.04232)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot.losses.arguments import above_zero, at_least_one, share
from fewshot.losses.distances import unit
from fewshot.losses.precision import full_precision
from fewshot.randomness import generator


@full_precision
def cosine_logits(embeddings: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
    """scale * cos(z, w_c), [m, classes], from embeddings [m, dim], weight [classes, dim] and a 0-d scale."""
    return scale * (unit(embeddings) @ unit(weight).mT)


class CosineCrossEntropy(nn.Module):
    """Mean over a batch of -log softmax_c(scale * cos(z, w_c))[y].

    Args:
        classes: of the training set; labels are in [0, classes).
        dim: of the embeddings.
        scale: inverse temperature; the start of it where it is learnt.
        learnable_scale: makes the scale a parameter.
        label_smoothing: share of the target spread over all the classes.
        seed: of the weights, directions drawn uniformly on the sphere.

    Raises:
        InputError: no class, no dimension, a scale that is not above 0, smoothing outside [0, 1).
    """

    kind: ClassVar[Literal["episodic", "batch"]] = "batch"
    scale: Tensor

    def __init__(
        self,
        classes: int,
        dim: int,
        scale: float = 10.0,
        learnable_scale: bool = True,
        label_smoothing: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        draw = generator(seed, "classifier weights", 0)
        normal = torch.randn(at_least_one(classes=classes), at_least_one(dim=dim), generator=draw)
        self.weight = nn.Parameter(unit(normal))
        start = torch.tensor(float(above_zero(scale=scale)))
        if learnable_scale:
            self.scale = nn.Parameter(start)
        else:
            self.register_buffer("scale", start)
        self.label_smoothing = share(label_smoothing=label_smoothing)

    def logits(self, embeddings: Tensor) -> Tensor:
        """Scores [m, classes] of embeddings [m, dim]."""
        return cosine_logits(embeddings, self.weight, self.scale)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(self.logits(embeddings), labels, label_smoothing=self.label_smoothing)
