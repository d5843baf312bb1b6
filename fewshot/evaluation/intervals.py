"""How sure a mean is: over episodes, between two methods on the same episodes, over training seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

NORMAL = "1.96 * standard deviation / sqrt(n)"
STUDENT = "t(0.975, n - 1) * standard deviation / sqrt(n)"


@dataclass(frozen=True)
class Interval:
    """A mean and its 95% interval, mean - half_width to mean + half_width.

    Attributes:
        mean: of the values.
        half_width: nan where one value alone shows no spread.
        n: values.
        method: the formula of the half width.
    """

    mean: float
    half_width: float
    n: int
    method: str

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of zero; False where there is no interval."""
        return abs(self.mean) > self.half_width

    def __str__(self) -> str:
        """As accuracies are published, in percent: `49.42 +- 0.78`."""
        return f"{100 * self.mean:.2f} +- {100 * self.half_width:.2f}"


def mean_interval(values: NDArray[np.float64] | Sequence[float]) -> Interval:
    """Mean of per-episode values [n] with 1.96 s / sqrt(n), s with n - 1 degrees of freedom.

    It shows the spread of episodes under one trained model, not that of training.

    Raises:
        ValueError: no values.
    """
    return _interval(values, 1.96, NORMAL)


def paired_difference(
    ours: NDArray[np.float64] | Sequence[float], theirs: NDArray[np.float64] | Sequence[float]
) -> Interval:
    """Mean of ours - theirs [n] on the same episodes, with the interval of the differences.

    Raises:
        ValueError: the two are not of one length.
    """
    ours, theirs = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    if ours.shape != theirs.shape:
        raise ValueError(f"paired values need the same episodes, not {ours.shape} and {theirs.shape}")
    return mean_interval(ours - theirs)


def seed_interval(values: NDArray[np.float64] | Sequence[float]) -> Interval:
    """Mean over training seeds [n] with Student's t on n - 1 degrees of freedom.

    Claims about methods use this one. For a paired claim give the differences, seed by seed.

    Raises:
        ValueError: no values.
    """
    count = len(values)
    return _interval(values, float(stdtrit(count - 1, 0.975)) if count > 1 else math.nan, STUDENT)


def _interval(values: NDArray[np.float64] | Sequence[float], factor: float, method: str) -> Interval:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not len(array):
        raise ValueError(f"an interval needs values [n], n at least 1, not shape {array.shape}")
    spread = float(array.std(ddof=1)) if len(array) > 1 else math.nan
    return Interval(float(array.mean()), factor * spread / math.sqrt(len(array)), len(array), method)
