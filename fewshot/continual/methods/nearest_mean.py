"""Nearest class mean on a frozen encoder: no forgetting, and no learning of features after the start."""

from __future__ import annotations

import torch
from torch import Tensor

from fewshot.continual.class_means import ClassMeans
from fewshot.continual.method import TaskImages, evaluation_mode
from fewshot.continual.methods.finetune import Finetune
from fewshot.models.embedder import Embedder
from fewshot.sampling.feed import Batch


class NearestMean(Finetune):
    """Trains the encoder on the first task alone, then only takes the mean features of each task's classes.

    The first task is trained by cross-entropy; the classifier is then no longer used. A class has the score
    -inf until the end of its task.

    Args:
        embedder, classes, seed: see `Finetune`.
        train_first: false freezes the encoder from the start, for weights that were trained before (`init`,
            or pretrained ones).
    """

    def __init__(self, embedder: Embedder, classes: int, train_first: bool = True, seed: int = 0) -> None:
        super().__init__(embedder, classes, seed=seed)
        self.train_first = train_first
        self.means = ClassMeans(classes, embedder.embed_dim)

    def forward(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss (0-d), 0 once the encoder is frozen, and what to log; arguments as in `Method`."""
        if self.train_first and self.task == 0:
            return super().forward(batch, generator)
        # The loop wants a gradient: it is that of a classifier nobody uses, so that the encoder has none, not
        # even one of 0, which would let weight decay and momentum move it.
        return 0 * self.classifier.bias.sum(), {}

    def end_task(self, images: TaskImages) -> None:
        with torch.no_grad(), evaluation_mode(self):
            for block, labels in images():
                self.means.add(self.embedder.embed(block), labels)

    def _scores(self, images: Tensor) -> Tensor:
        scores: Tensor = self.means(self.embedder.embed(images))
        return scores
