"""Finetuning: each task is trained on in turn and nothing is done against forgetting, the lower bound."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from fewshot.continual.method import Method
from fewshot.errors import InputError
from fewshot.losses.cross_entropy import CrossEntropy
from fewshot.models.embedder import Embedder
from fewshot.sampling.feed import Batch

SoftmaxOver = Literal["current", "seen", "all"]
"""The classes that cross-entropy compares: the current task's, those seen so far, or the whole stream's."""


class Finetune(Method):
    """Cross-entropy of one linear classifier on the embedding, a row a class; it scores by its logits.

    Other methods with a classifier are this one and what they add.

    Args:
        embedder, classes: see `Method`.
        softmax_over: "current" trains a head a task, the usual form for task-incremental learning, and leaves
            the rows of earlier classes alone; "seen" tells new classes from old ones of which, without a
            memory, no image comes: it pushes their rows away.
        seed: of the classifier's weights.
    """

    def __init__(
        self, embedder: Embedder, classes: int, softmax_over: SoftmaxOver = "current", seed: int = 0
    ) -> None:
        super().__init__(embedder, classes)
        self.softmax_over = softmax_over
        self.classifier = CrossEntropy(classes, embedder.embed_dim, seed=seed)

    def forward(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss (0-d) and what to log (nothing but the loss itself); arguments as in `Method`."""
        return self.cross_entropy(self.logits(batch.images), batch.labels), {}

    def logits(self, images: Tensor) -> Tensor:
        """float32 [n, classes] of images [n, channels, height, width]."""
        return self.classifier.logits(self.embedder.embed(images))

    def cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean of -log softmax(logits)[label] over `softmax_over`, 0-d; logits [n, classes], labels [n]."""
        if self.softmax_over != "all":
            compared = self.current if self.softmax_over == "current" else self.seen
            logits = logits.masked_fill(~compared, -torch.inf)
        return F.cross_entropy(logits, labels)

    def refuse_current(self) -> None:
        """InputError for `softmax_over` "current", which has no place for images of earlier tasks."""
        if self.softmax_over == "current":
            raise InputError(
                f"continual.softmax_over=current: {type(self).__name__} trains on images of earlier tasks "
                "too, whose classes would be left out; use seen or all"
            )

    def _scores(self, images: Tensor) -> Tensor:
        return self.logits(images)
