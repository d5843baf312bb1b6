"""Prototype-sample relation distillation (Asadi et al. 2023, PRD, arXiv 2303.14771)."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from fewshot.losses.arguments import above_zero
from fewshot.losses.distances import unit
from fewshot.losses.grouped_softmax import grouped_log_softmax, number_of_groups
from fewshot.losses.precision import full_precision

RelationAxis = Literal["samples", "classes"]
"""What an old prototype's, or an image's, relations are spread over."""

KLDirection = Literal["current_snapshot", "snapshot_current"]
"""KL(current || snapshot), or KL(snapshot || current)."""

RelationSimilarity = Literal["cosine", "projection"]
"""cos(p, z), or <p, z> / ||p||: the length of z counts."""

RelationReduction = Literal["sum", "mean"]


@full_precision
def relation_distillation(
    features: Tensor,
    prototypes: Tensor,
    old_features: Tensor,
    old_prototypes: Tensor,
    tasks: Tensor,
    *,
    temperature: float = 0.1,
    axis: RelationAxis = "samples",
    direction: KLDirection = "current_snapshot",
    similarity: RelationSimilarity = "cosine",
    reduction: RelationReduction = "sum",
) -> Tensor:
    """How the relations of old prototypes to a batch moved since the snapshot.

    The paper's form: P(k) = softmax over the samples i of s(p_k, z_i) / T for each old prototype k, and
    sum over old k of KL( P_t(k) || P_{t-1}(k) ). The public code's: for each sample and each old task the
    softmax over the task's classes, the mean over samples and the sum over tasks of the other direction.
    The gradient reaches features and prototypes; the snapshot's are constants.

    Args:
        features, old_features: [n, dim], the batch seen by the encoder and by its snapshot.
        prototypes, old_prototypes: [classes, dim], now and in the snapshot.
        tasks: int64 [classes], the task of an old prototype, below the number of classes; -1 of one that is
            not old and has no part.
        temperature: T; the paper doesn't say whether it is that of the contrastive loss.
        axis: "samples" or "classes".
        direction: of the divergence.
        similarity: s.
        reduction: over old prototypes (axis "samples") or old tasks (axis "classes"): their sum, or their
            mean, which frees the weight of the loss from how many tasks there were.

    Returns:
        0-d tensor; 0 without an old prototype.
    """
    old_features, old_prototypes = old_features.detach(), old_prototypes.detach()
    now = _relations(features, prototypes, similarity) / temperature  # [n, classes]
    before = _relations(old_features, old_prototypes, similarity) / temperature
    if axis == "samples":
        now, before = F.log_softmax(now, 0), F.log_softmax(before, 0)
        groups = (tasks >= 0).sum()
    else:
        now, before = grouped_log_softmax(now, tasks), grouped_log_softmax(before, tasks)
        groups = number_of_groups(tasks)
    first, second = (now, before) if direction == "current_snapshot" else (before, now)
    divergence = (first.exp() * (first - second)).masked_fill(tasks < 0, 0).sum()
    if axis == "classes":
        divergence = divergence / len(features)
    return divergence / groups.clamp(min=1) if reduction == "mean" else divergence


def _relations(features: Tensor, prototypes: Tensor, similarity: RelationSimilarity) -> Tensor:
    return (unit(features) if similarity == "cosine" else features) @ unit(prototypes).mT


class RelationDistillation(nn.Module):
    """`relation_distillation` with its options: a term beside any loss on the same batch.

    Raises:
        InputError: a temperature that is not above 0.
    """

    def __init__(
        self,
        temperature: float = 0.1,
        axis: RelationAxis = "samples",
        direction: KLDirection = "current_snapshot",
        similarity: RelationSimilarity = "cosine",
        reduction: RelationReduction = "sum",
    ) -> None:
        super().__init__()
        self.temperature = above_zero("continual.relation", temperature=temperature)
        self.axis: RelationAxis = axis
        self.direction: KLDirection = direction
        self.similarity: RelationSimilarity = similarity
        self.reduction: RelationReduction = reduction

    def forward(
        self,
        features: Tensor,
        prototypes: Tensor,
        old_features: Tensor,
        old_prototypes: Tensor,
        tasks: Tensor,
    ) -> Tensor:
        return relation_distillation(
            *(features, prototypes, old_features, old_prototypes, tasks),
            temperature=self.temperature,
            axis=self.axis,
            direction=self.direction,
            similarity=self.similarity,
            reduction=self.reduction,
        )
