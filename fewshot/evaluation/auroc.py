"""How well a score tells two groups apart: the area under the ROC curve, by ranks."""

from __future__ import annotations

import torch
from torch import Tensor


def auroc(scores: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """Share of pairs whose positive has the higher score; ties count half (Mann & Whitney 1947). Exact.

    Args:
        scores: float [rows, n], infinities allowed.
        positive, negative: bool [rows, n]; what is neither is left out.

    Returns:
        float64 [rows]; nan in a row that lacks one of the two groups.

    Raises:
        ValueError: a score that counts is nan.
    """
    if bool((scores.isnan() & (positive | negative)).any()):
        raise ValueError("a score is nan")
    # The negatives in ascending order, what is none of them behind as infinities that are not counted.
    others = negative.sum(dim=1, keepdim=True)
    ordered = scores.masked_fill(~negative, torch.inf).sort(dim=1).values
    asked = scores.masked_fill(~positive, torch.inf).contiguous()
    below, upto = (
        torch.searchsorted(ordered, asked, right=right).minimum(others).double() for right in (False, True)
    )
    wins = ((below + upto) / 2 * positive).sum(dim=1)
    return wins / (positive.sum(dim=1) * others[:, 0])
