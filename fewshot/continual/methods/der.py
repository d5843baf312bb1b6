"""DER++: dark experience replay with labels (Buzzega et al. 2020, arXiv 2004.07211)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from fewshot.continual.buffer import Buffer
from fewshot.continual.method import TaskImages, evaluation_mode
from fewshot.continual.methods.finetune import Finetune, SoftmaxOver
from fewshot.losses.arguments import at_least_one, at_least_zero
from fewshot.models.embedder import Embedder
from fewshot.sampling.feed import Augment, Batch


class DERPlusPlus(Finetune):
    """Cross-entropy + alpha * mean (h(x') - kept logits)^2 + beta * cross-entropy(x'', y'').

    x' and x'' are two draws of a reservoir. As in the public code each draw has a forward of its own,
    and cross-entropy and logits are over the classes of the whole stream. Unlike there the reservoir is
    offered each image once, at the end of its task, with the logits that the model then gives it in
    evaluation mode; there images enter while their task is trained, each epoch anew, with the logits of that
    moment.

    Args:
        embedder, classes, softmax_over, seed: see `Finetune`; "current" has no place for replayed images.
        augment: of replayed images, which are kept as they are.
        alpha, beta: weights of logits and labels; 0.3 and 0.5 are the public code's for CIFAR-100 with 500
            kept images.
        buffer_size: images kept in all.
        replayed: images of each draw; None for as many as the batch has.
    """

    def __init__(
        self,
        embedder: Embedder,
        classes: int,
        augment: Augment,
        alpha: float = 0.3,
        beta: float = 0.5,
        buffer_size: int = 2000,
        replayed: int | None = None,
        softmax_over: SoftmaxOver = "all",
        seed: int = 0,
    ) -> None:
        super().__init__(embedder, classes, softmax_over, seed)
        self.refuse_current()
        self.augment = augment
        self.alpha = at_least_zero("continual", alpha=alpha)
        self.beta = at_least_zero("continual", beta=beta)
        self.replayed = None if replayed is None else at_least_one("continual", replayed=replayed)
        self.buffer = Buffer(buffer_size, embedder, logits=classes, seed=seed)

    def forward(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss (0-d) and its terms without their weights; arguments as in `Method`."""
        loss = self.cross_entropy(self.logits(batch.images), batch.labels)
        logs = {"cross_entropy": loss.detach()}
        if self.buffer.filled:
            count = self.replayed or len(batch.labels)
            rows, logits = self._replay(count, generator)
            kept = F.mse_loss(logits, self.buffer.logits[rows])
            rows, logits = self._replay(count, generator)
            labels = self.cross_entropy(logits, self.buffer.labels[rows])
            loss = loss + self.alpha * kept + self.beta * labels
            logs |= {"replayed_logits": kept.detach(), "replayed_labels": labels.detach()}
        return loss, logs

    def end_task(self, images: TaskImages) -> None:
        with torch.no_grad(), evaluation_mode(self):
            for block, labels in images():
                self.buffer.reservoir(block, labels, self.logits(block))

    def _replay(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Rows of the buffer int64 [count], and the logits [count, classes] of their images, augmented."""
        rows = self.buffer.draw(count, generator)
        return rows, self.logits(self.augment(self.buffer.images[rows], generator))
