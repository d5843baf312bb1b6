"""Online EWC: elastic weight consolidation, one running Fisher information (arXiv 1612.00796, 1805.06370)."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from fewshot.continual.method import TaskImages, evaluation_mode
from fewshot.continual.methods.finetune import Finetune, SoftmaxOver
from fewshot.errors import InputError
from fewshot.losses.arguments import at_least_one, at_least_zero
from fewshot.models.embedder import Embedder
from fewshot.sampling.feed import Batch


class OnlineEWC(Finetune):
    """Cross-entropy + strength / 2 * sum over weights of F (theta - theta*)^2.

    theta* are the weights at the end of the task before. F becomes decay * F + the diagonal of the task's
    Fisher information there, estimated with the true labels from gradients of the mean over blocks of b
    images: b * gradient^2, averaged over the task, which is the mean squared gradient of single images
    wherever the mean gradient is 0 (as at an optimum).

    Args:
        embedder, classes, softmax_over, seed: see `Finetune`.
        strength: of the penalty; SGD diverges where lr * strength * F passes about 2.
        decay: of the Fisher information of earlier tasks, in [0, 1].
        fisher_batch: b; 1 is exact and slow.

    Raises:
        InputError: a number out of its range.
    """

    def __init__(
        self,
        embedder: Embedder,
        classes: int,
        strength: float = 1.0,
        decay: float = 1.0,
        fisher_batch: int = 16,
        softmax_over: SoftmaxOver = "current",
        seed: int = 0,
    ) -> None:
        super().__init__(embedder, classes, softmax_over, seed)
        self.strength = at_least_zero("continual", strength=strength)
        if not 0 <= decay <= 1:
            raise InputError(f"continual.decay={decay} must be from 0 to 1")
        self.decay = decay
        self.fisher_batch = at_least_one("continual", fisher_batch=fisher_batch)
        kept = [torch.zeros_like(p, requires_grad=False) for p in self._weights()]
        self.fisher = nn.ParameterList(nn.Parameter(p, requires_grad=False) for p in kept)
        self.anchor = nn.ParameterList(nn.Parameter(p.clone(), requires_grad=False) for p in kept)

    def forward(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss (0-d) and its terms without their weights; arguments as in `Method`."""
        loss = self.cross_entropy(self.logits(batch.images), batch.labels)
        logs = {"cross_entropy": loss.detach()}
        if self.task > 0:
            kept = zip(self._weights(), self.fisher, self.anchor, strict=True)
            penalty = torch.stack([(f * (p - a).square()).sum() for p, f, a in kept]).sum() / 2
            loss = loss + self.strength * penalty
            logs["penalty"] = penalty.detach()
        return loss, logs

    def end_task(self, images: TaskImages) -> None:
        """Take theta* and add the task's Fisher information; see `Method`."""
        weights = list(self._weights())
        squares = [torch.zeros_like(p) for p in weights]
        total = 0
        with torch.enable_grad(), evaluation_mode(self), _all_with_gradient(weights):
            for block, block_labels in images():
                pieces = torch.split(block, self.fisher_batch), torch.split(block_labels, self.fisher_batch)
                for piece, labels in zip(*pieces, strict=True):
                    loss = self.cross_entropy(self.logits(piece), labels)
                    gradients = torch.autograd.grad(loss, weights, materialize_grads=True)
                    for square, gradient in zip(squares, gradients, strict=True):
                        square.add_(gradient.square(), alpha=len(piece) ** 2)
                    total += len(piece)
        with torch.no_grad():
            for weight, square, fisher, anchor in zip(
                weights, squares, self.fisher, self.anchor, strict=True
            ):
                fisher.mul_(self.decay).add_(square / total)
                anchor.copy_(weight)

    def _weights(self) -> Iterator[nn.Parameter]:
        return itertools.chain(self.embedder.parameters(), self.classifier.parameters())


@contextlib.contextmanager
def _all_with_gradient(weights: Sequence[nn.Parameter]) -> Iterator[None]:
    """Weights that rest for now (`training.head_only`) move later, and matter as the others do."""
    resting = [weight for weight in weights if not weight.requires_grad]
    for weight in resting:
        weight.requires_grad_(True)
    try:
        yield
    finally:
        for weight in resting:
            weight.requires_grad_(False)
