"""Cross-entropy of a linear classifier over all training classes: the usual pre-training."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot.losses.arguments import at_least_one, share
from fewshot.losses.precision import full_precision
from fewshot.randomness import generator


@full_precision
def classifier_logits(embeddings: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """z W^T + b, [m, classes], from embeddings [m, dim], weight [classes, dim] and bias [classes]."""
    return F.linear(embeddings, weight, bias)


class CrossEntropy(nn.Module):
    """Mean over a batch of -log softmax(z W^T + b)[y].

    Args:
        classes: of the training set; labels are in [0, classes).
        dim: of the embeddings.
        label_smoothing: share of the target spread over all the classes.
        seed: of the weights, uniform in +-1/sqrt(dim); the bias starts at 0.

    Raises:
        InputError: no class, no dimension, smoothing outside [0, 1).
    """

    kind: ClassVar[Literal["episodic", "batch"]] = "batch"

    def __init__(self, classes: int, dim: int, label_smoothing: float = 0.0, seed: int = 0) -> None:
        super().__init__()
        draw = generator(seed, "classifier weights", 0)
        bound = at_least_one(dim=dim) ** -0.5
        self.weight = nn.Parameter(torch.empty(at_least_one(classes=classes), dim))
        nn.init.uniform_(self.weight, -bound, bound, generator=draw)
        self.bias = nn.Parameter(torch.zeros(classes))
        self.label_smoothing = share(label_smoothing=label_smoothing)

    def logits(self, embeddings: Tensor) -> Tensor:
        """Scores [m, classes] of embeddings [m, dim]."""
        return classifier_logits(embeddings, self.weight, self.bias)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(self.logits(embeddings), labels, label_smoothing=self.label_smoothing)
