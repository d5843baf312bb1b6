"""SupCon finetuning: PRD's features without prototypes and distillation."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from fewshot.continual.class_means import ClassMeans
from fewshot.continual.method import TaskImages, evaluation_mode
from fewshot.continual.metric_method import MetricMethod
from fewshot.models.embedder import Embedder
from fewshot.sampling.feed import Batch


class SupConFinetune(MetricMethod):
    """The loss on projected features alone; prediction is by the nearest class mean.

    A class's mean is that of the features of all its training images at the end of its task. It stays while
    the encoder goes on, since no image is kept; until then the class has the score -inf. What learnt
    prototypes would give instead is `continual=prd continual.beta=0`.

    Args:
        embedder, classes, loss, views: see `MetricMethod`.
    """

    def __init__(self, embedder: Embedder, classes: int, loss: nn.Module, views: Literal[1, 2] = 2) -> None:
        super().__init__(embedder, classes, loss, views)
        self.means = ClassMeans(classes, embedder.embed_dim)

    def forward(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss (0-d) and what to log (nothing but the loss itself); arguments as in `Method`."""
        return self.contrast(self.represent(batch.images)[1], batch.labels), {}

    def end_task(self, images: TaskImages) -> None:
        with torch.no_grad(), evaluation_mode(self):
            for block, labels in images():
                self.means.add(self.embedder.embed(block), labels)

    def _scores(self, images: Tensor) -> Tensor:
        scores: Tensor = self.means(self.embedder.embed(images))
        return scores
