"""A warm-up of what is new: the backbone rests while the head and the loss find their place."""

from __future__ import annotations

from torch import nn

from fewshot.errors import InputError
from fewshot.models.embedder import Embedder


class HeadOnly:
    """Takes the backbone out of the first steps of training.

    Metrix (arXiv 2106.04990) trains the embedding layer alone at first. The backbone's parameters require no
    gradient then, so that an optimizer leaves them and their moments alone, weight decay included, and no
    backward runs through them. BatchNorm's running statistics follow the batches as ever, unless
    `training.freeze_batchnorm` holds them.

    Args:
        objective: has something to train besides the backbone.
        embedder: of the objective.
        steps: without the backbone; 0 for none.

    Raises:
        InputError: nothing but the backbone is trained.
    """

    def __init__(self, objective: nn.Module, embedder: Embedder, steps: int) -> None:
        self.steps = steps
        self.backbone = [p for p in embedder.backbone.parameters() if p.requires_grad] if steps else []
        if steps and len(self.backbone) == sum(p.requires_grad for p in objective.parameters()):
            raise InputError(
                f"training.head_only={steps}, but nothing besides the backbone is trained: use "
                "head=linear, a loss with parameters, or training.head_only=0"
            )

    def before(self, step: int) -> None:
        """Call before each step; what is trained depends on its number alone."""
        for parameter in self.backbone:
            parameter.requires_grad_(step >= self.steps)
