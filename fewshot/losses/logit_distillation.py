"""Distillation of a classifier's logits (Hinton et al. 2015, arXiv 1503.02531), within groups of classes."""

from __future__ import annotations

from torch import Tensor

from fewshot.losses.grouped_softmax import grouped_log_softmax
from fewshot.losses.precision import full_precision


@full_precision
def logit_distillation(
    logits: Tensor, old_logits: Tensor, groups: Tensor, *, temperature: float = 2.0
) -> Tensor:
    """T^2 * mean over samples, sum over groups of KL( softmax(old / T) || softmax(new / T) ).

    Args:
        logits, old_logits: [n, classes]; the old ones are constants.
        groups: int64 [classes]; a softmax is taken within each group; -1 for classes that have no part.
        temperature: T.

    Returns:
        0-d tensor; 0 where no class has a group.
    """
    now = grouped_log_softmax(logits / temperature, groups)
    before = grouped_log_softmax(old_logits.detach() / temperature, groups)
    divergence = (before.exp() * (before - now)).masked_fill(groups < 0, 0).sum(1).mean()
    return temperature**2 * divergence
