"""How far a classifier's confidence can be believed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Reliability:
    """Confidence held against accuracy, in bins of equal width.

    Attributes:
        edges: float64 [bins + 1], from 0 to 1.
        counts: int64 [bins], predictions in each bin (edges[i], edges[i + 1]].
        accuracy, confidence: float64 [bins], means within each bin; nan in an empty one.
    """

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]
    accuracy: NDArray[np.float64]
    confidence: NDArray[np.float64]

    @property
    def ece(self) -> float:
        """sum over bins of n_b / n |accuracy_b - confidence_b| (Guo et al. 2017, equation 3)."""
        filled = self.counts > 0
        gaps = np.abs(self.accuracy - self.confidence)[filled]
        return float(np.average(gaps, weights=self.counts[filled]))


def reliability(confidence: NDArray[np.float64], correct: NDArray[np.bool_], bins: int = 15) -> Reliability:
    """Bin predictions by their confidence.

    Args:
        confidence: [n], the probability of the predicted class, in 0..1.
        correct: [n], whether that class was right.
        bins: of equal width.

    Raises:
        ValueError: no predictions, or a confidence outside 0..1.
    """
    if not len(confidence) or not (0 <= confidence.min() <= confidence.max() <= 1):
        raise ValueError("calibration needs predictions with confidences in 0..1")
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        accuracy = np.bincount(place, correct, bins) / counts
        means = np.bincount(place, confidence, bins) / counts
    return Reliability(np.linspace(0, 1, bins + 1), counts, accuracy, means)
