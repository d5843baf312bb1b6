"""ER: experience replay from a reservoir (Chaudhry et al. 2019, arXiv 1902.10486)."""

from __future__ import annotations

import torch
from torch import Tensor

from fewshot.continual.buffer import Buffer
from fewshot.continual.method import TaskImages
from fewshot.continual.methods.finetune import Finetune, SoftmaxOver
from fewshot.losses.arguments import at_least_one
from fewshot.models.embedder import Embedder
from fewshot.sampling.feed import Augment, Batch


class ER(Finetune):
    """Cross-entropy on the batch together with as many images of earlier tasks, in one forward.

    The reservoir is offered each image of a task once, at the end of the task: every image of the stream so
    far is kept with the same chance however many epochs it was trained for, and what is replayed is always
    of earlier tasks.

    Args:
        embedder, classes, softmax_over, seed: see `Finetune`; "current" has no place for replayed images.
        augment: of replayed images, which are kept as they are.
        buffer_size: images kept in all.
        replayed: images drawn a step; None for as many as the batch has.
    """

    def __init__(
        self,
        embedder: Embedder,
        classes: int,
        augment: Augment,
        buffer_size: int = 2000,
        replayed: int | None = None,
        softmax_over: SoftmaxOver = "seen",
        seed: int = 0,
    ) -> None:
        super().__init__(embedder, classes, softmax_over, seed)
        self.refuse_current()
        self.augment = augment
        self.replayed = None if replayed is None else at_least_one("continual", replayed=replayed)
        self.buffer = Buffer(buffer_size, embedder, seed=seed)

    def forward(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss (0-d) and what to log (nothing but the loss itself); arguments as in `Method`."""
        images, labels = batch.images, batch.labels
        if self.buffer.filled:
            rows = self.buffer.draw(self.replayed or len(labels), generator)
            images = torch.cat((images, self.augment(self.buffer.images[rows], generator)))
            labels = torch.cat((labels, self.buffer.labels[rows]))
        return self.cross_entropy(self.logits(images), labels), {}

    def end_task(self, images: TaskImages) -> None:
        for block, labels in images():
            self.buffer.reservoir(block, labels)
