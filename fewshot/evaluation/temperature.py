"""The temperature of a softmax, fitted to labelled scores by their likelihood."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fewshot.evaluation.calibration import reliability

Group = tuple[Tensor, Tensor]
"""Scores float [n, ways] and labels int64 [n] of queries with as many ways."""

_WIDEST = 1e6
_STEPS = 200


@dataclass(frozen=True)
class Confidence:
    """How good the probabilities softmax(scores / temperature) are.

    Attributes:
        nll: the mean negative logarithm of the true class's probability, in nats.
        ece: the expected calibration error, see `Reliability`.
    """

    nll: float
    ece: float


def confidence(groups: Sequence[Group], temperature: float) -> Confidence:
    """NLL and ECE of scores at a temperature.

    Raises:
        ValueError: there are no queries.
    """
    lost, highest, right = [], [], []
    for scores, labels in groups:
        log_p = (scores.double() / temperature).log_softmax(dim=-1)
        lost.append(-log_p.gather(-1, labels[:, None])[:, 0])
        best = log_p.max(dim=-1)
        highest.append(best.values.exp())
        right.append(best.indices == labels)
    if not groups:
        raise ValueError("there are no queries")
    told = torch.cat(highest).clamp(0, 1).cpu().numpy()
    return Confidence(
        float(torch.cat(lost).mean()),
        reliability(told.astype(np.float64), torch.cat(right).cpu().numpy()).ece,
    )


def fitted_temperature(groups: Sequence[Group]) -> float:
    """The T that minimises the mean NLL of softmax(scores / T) (Guo et al. 2017, arXiv 1706.04599).

    In b = 1 / T the NLL is convex: its slope is mean(E_p[s] - s_y) and its curvature mean(Var_p[s]). The root
    of the slope is found by Newton's steps within a bracket, which halves wherever a step leaves it. Where
    there is no root (every query right, or the scores worse than a guess) T is the nearer end of a range of
    1e-6 to 1e6 times the mean spread of the scores.

    Args:
        groups: of all queries; those of different numbers of ways lie in different ones.

    Raises:
        ValueError: there are no queries, or a score is not finite.
    """
    lifted = [(scores.double() - scores.double().mean(-1, keepdim=True), labels) for scores, labels in groups]
    count = sum(len(labels) for _, labels in lifted)
    if not count:
        raise ValueError("a temperature needs queries")
    scale = math.sqrt(sum(float(scores.square().mean(-1).sum()) for scores, _ in lifted) / count)
    if not math.isfinite(scale):
        raise ValueError("a score is not finite")
    if scale == 0:
        return 1.0  # all scores are equal, and every temperature is as good
    groups = [(scores / scale, labels) for scores, labels in lifted]
    low, high, at = 1 / _WIDEST, _WIDEST, 1.0
    if _slope(groups, low, count)[0] >= 0:
        return scale / low
    if _slope(groups, high, count)[0] <= 0:
        return scale / high
    for _ in range(_STEPS):
        slope, curvature = _slope(groups, at, count)
        low, high = (at, high) if slope < 0 else (low, at)
        step = at - slope / curvature if curvature > 0 else math.inf
        # The middle of the logarithms, since b may be of any size.
        new = step if low < step < high else math.sqrt(low * high)
        if slope == 0 or abs(new - at) <= 1e-12 * at:
            break
        at = new
    return scale / at


def _slope(groups: Sequence[Group], b: float, count: int) -> tuple[float, float]:
    """First and second derivative of the mean NLL by b."""
    slope = curvature = 0.0
    for scores, labels in groups:
        p = (b * scores).softmax(dim=-1)
        mean = (p * scores).sum(dim=-1)
        slope += float((mean - scores.gather(-1, labels[:, None])[:, 0]).sum())
        curvature += float((p * (scores - mean[:, None]).square()).sum())
    return slope / count, curvature / count
