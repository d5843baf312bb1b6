"""Margin loss with distance-weighted negatives (Wu et al. 2017, arXiv 1706.07567)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from fewshot.losses.arguments import above_zero, at_least_one
from fewshot.losses.distance_weighting import distance_weighted_negatives
from fewshot.losses.pairs import compared, unit_distances
from fewshot.losses.precision import full_precision
from fewshot.randomness import generator as seeded


@full_precision
def margin(
    embeddings: Tensor,
    labels: Tensor,
    others: Tensor | None = None,
    other_labels: Tensor | None = None,
    self_index: Tensor | None = None,
    *,
    beta: Tensor,
    generator: torch.Generator,
    alpha: float = 0.2,
    cutoff: float = 0.5,
    farthest: float = 1.4,
) -> Tensor:
    """sum over (a,p) of [alpha + d_ap - beta]+ + [alpha + beta - d_an]+, over the number of hinges above 0.

    For each positive pair one negative n of a is drawn, see `distance_weighted_negatives`; a pair whose
    anchor has none is left out. d = sqrt(||a - b||^2 + 1e-6) of unit vectors. On the same triplets it equals
    pytorch-metric-learning's MarginLoss(margin=alpha, beta=beta) up to the 1e-6.

    Args:
        embeddings, labels, others, other_labels, self_index: see `compared`.
        beta: boundary between positive and negative distances, [classes] or 0-d.
        generator: draws the negatives.
        alpha: margin on either side of the boundary.
        cutoff, farthest: distances, see `distance_weighted_negatives`.

    Returns:
        0-d tensor; 0 where there is no triplet or no hinge above 0.

    Raises:
        ValueError: see `compared`.
    """
    others, (positive, negative) = compared(embeddings, labels, others, other_labels, self_index)
    distances = unit_distances(embeddings, others)  # [m, n]
    drawn = distance_weighted_negatives(
        distances, negative, embeddings.shape[1], generator, cutoff=cutoff, farthest=farthest
    )
    boundary = (beta[labels] if beta.ndim else beta.expand(len(labels)))[:, None]  # [m, 1]
    used = positive & negative.any(1, keepdim=True)
    too_far = (alpha + distances - boundary).clamp(min=0).masked_fill(~used, 0)
    too_near = (alpha + boundary - distances.gather(1, drawn)).clamp(min=0).masked_fill(~used, 0)
    hinges = torch.count_nonzero(too_far) + torch.count_nonzero(too_near)
    return (too_far + too_near).sum() / hinges.clamp(min=1)


class Margin(nn.Module):
    """`margin` with its boundary beta, a parameter, and the count of its draws.

    Negatives depend on (seed, number of the call in training mode) alone: that number is part of the state,
    so that a resumed run draws what the straight one would. In evaluation mode it stands still.

    Args:
        classes: of the training set; labels are in [0, classes).
        beta: the boundary, a distance; its start where it is learnt.
        per_class: a boundary for each class instead of one.
        learnable_beta: makes beta a parameter.
        alpha: margin on either side of the boundary.
        cutoff, farthest: distances, see `distance_weighted_negatives`.
        lr_scale: factor of the optimizer's rate for beta.
        seed: of the negatives.

    Raises:
        InputError: a number out of its range.
    """

    kind: ClassVar[Literal["episodic", "batch"]] = "batch"
    takes_others: ClassVar[bool] = True
    beta: Tensor

    def __init__(
        self,
        classes: int,
        beta: float = 1.2,
        per_class: bool = True,
        learnable_beta: bool = True,
        alpha: float = 0.2,
        cutoff: float = 0.5,
        farthest: float = 1.4,
        lr_scale: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        shape = (at_least_one(classes=classes),) if per_class else ()
        start = torch.full(shape, float(above_zero(beta=beta)))
        if learnable_beta:
            self.beta = nn.Parameter(start)
        else:
            self.register_buffer("beta", start)
        self.alpha = above_zero(alpha=alpha)
        self.cutoff = above_zero(cutoff=cutoff)
        self.farthest = above_zero(farthest=farthest)
        self.lr_scale = above_zero(lr_scale=lr_scale)
        self.seed = seed
        self._draws = 0

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        others: Tensor | None = None,
        other_labels: Tensor | None = None,
        self_index: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """The loss; the generator, where one is given, draws instead of the module's own."""
        if generator is None:
            generator = seeded(self.seed, "distance-weighted negatives", self._draws, embeddings.device)
            self._draws += self.training
        return margin(
            *(embeddings, labels, others, other_labels, self_index),
            beta=self.beta,
            generator=generator,
            alpha=self.alpha,
            cutoff=self.cutoff,
            farthest=self.farthest,
        )

    # The count is extra state and no buffer: reading a buffer on a GPU would wait for it at every step.
    def get_extra_state(self) -> Tensor:
        return torch.tensor(self._draws)

    def set_extra_state(self, state: Tensor) -> None:
        self._draws = int(state)
