"""LwF: learning without forgetting (Li & Hoiem 2016, arXiv 1606.09282)."""

from __future__ import annotations

import torch
from torch import Tensor

from fewshot.continual.methods.finetune import Finetune, SoftmaxOver
from fewshot.continual.snapshot import Snapshot
from fewshot.losses.arguments import above_zero, at_least_zero
from fewshot.losses.logit_distillation import logit_distillation
from fewshot.models.embedder import Embedder
from fewshot.sampling.feed import Batch


class LwF(Finetune):
    """Cross-entropy + strength * distillation of the old classes' logits on the images of the new task.

    The teacher is the model at the end of the task before, in evaluation mode, on the same augmented images.
    With `softmax_over` "current" each old task's head is distilled by itself, as in the paper; else there is
    one softmax over all old classes. The distillation is T^2 KL(old || new), whose gradient is the paper's
    cross-entropy's times T^2.

    Args:
        embedder, classes, softmax_over, seed: see `Finetune`.
        strength: of the distillation; 1 in the paper.
        temperature: T; 2 in the paper.

    Raises:
        InputError: a strength below 0, a temperature that is not above 0.
    """

    def __init__(
        self,
        embedder: Embedder,
        classes: int,
        strength: float = 1.0,
        temperature: float = 2.0,
        softmax_over: SoftmaxOver = "current",
        seed: int = 0,
    ) -> None:
        super().__init__(embedder, classes, softmax_over, seed)
        self.strength = at_least_zero("continual", strength=strength)
        self.temperature = above_zero("continual", temperature=temperature)
        self.old_embedder = Snapshot(embedder)
        self.old_classifier = Snapshot(self.classifier)

    def forward(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss (0-d) and its terms without their weights; arguments as in `Method`."""
        logits = self.logits(batch.images)
        loss = self.cross_entropy(logits, batch.labels)
        logs = {"cross_entropy": loss.detach()}
        if self.task > 0:
            with torch.no_grad():
                features = self.old_embedder.module.embed(batch.images)  # type: ignore[operator]
                old_logits = self.old_classifier.module.logits(features)  # type: ignore[operator]
            heads = self.task_of if self.softmax_over == "current" else torch.zeros_like(self.task_of)
            groups = torch.where(self.old, heads, -1)
            distillation = logit_distillation(logits, old_logits, groups, temperature=self.temperature)
            loss = loss + self.strength * distillation
            logs["distillation"] = distillation.detach()
        return loss, logs

    def begin_task(self, classes: Tensor) -> None:
        """Take the snapshot of the task before, and mark the classes; see `Method`."""
        super().begin_task(classes)
        self.old_embedder.take(self.embedder)
        self.old_classifier.take(self.classifier)
