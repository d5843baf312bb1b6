"""What losses with one positive an anchor need to know of a batch: the order of the images of each class."""

from __future__ import annotations

import torch
from torch import Tensor

from fewshot.losses.pair_loss import PairLoss, Relation, relation_by_label


def within_the_batch(
    loss: PairLoss, labels: Tensor, other_labels: Tensor, self_index: Tensor | None
) -> tuple[Relation, Tensor, Tensor]:
    """The relation by label, and of each image [m] its place among its class's images and their number.

    Raises:
        ValueError: the others are not the batch itself.
    """
    if other_labels is not labels:
        raise ValueError(f"{type(loss).__name__} takes its one positive from the batch alone")
    same = labels[:, None] == labels
    rank = torch.tril(same, -1).sum(1)
    return relation_by_label(labels, other_labels, self_index), rank, same.sum(1)
