"""One softmax for each group of columns: for each task's classes, say."""

from __future__ import annotations

import torch
from torch import Tensor


def grouped_log_softmax(logits: Tensor, groups: Tensor) -> Tensor:
    """log( exp(x_c) / sum over the columns a of c's group of exp(x_a) ).

    Args:
        logits: [n, classes].
        groups: int64 [classes], the group of a column, below the number of columns. Columns of group -1 are
            in no group; their values are finite and mean nothing.

    Returns:
        [n, classes].
    """
    n, classes = logits.shape
    # What is in no group makes one of its own.
    column = torch.where(groups >= 0, groups, classes).expand(n, -1)
    lowest = torch.finfo(logits.dtype).min
    top = logits.new_full((n, classes + 1), lowest).scatter_reduce(1, column, logits.detach(), "amax")
    shifted = logits - top.gather(1, column)
    total = logits.new_zeros(n, classes + 1).scatter_add(1, column, shifted.exp())
    # The total of a group that has columns is at least 1; the others are not gathered.
    return shifted - total.gather(1, column).log()


def number_of_groups(groups: Tensor) -> Tensor:
    """How many groups int64 [classes] names beside -1, a 0-d tensor."""
    classes = len(groups)
    named = groups.new_zeros(classes + 1).scatter_(0, torch.where(groups >= 0, groups, classes), 1)
    return named[:classes].sum()
