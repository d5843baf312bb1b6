"""Reliability and ECE against a loop over predictions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fewshot.evaluation.calibration import reliability


def naive_ece(confidence: list[float], correct: list[bool], bins: int) -> float:
    total = 0.0
    for number in range(bins):
        low, high = number / bins, (number + 1) / bins
        inside = [
            (c, r)
            for c, r in zip(confidence, correct, strict=True)
            if low < c <= high or (number == 0 and c == 0)
        ]
        if inside:
            accuracy = sum(r for _, r in inside) / len(inside)
            mean = sum(c for c, _ in inside) / len(inside)
            total += len(inside) / len(confidence) * abs(accuracy - mean)
    return total


@pytest.mark.parametrize("bins", [1, 4, 15])
def test_ece_is_that_of_the_loop(bins: int) -> None:
    draw = np.random.default_rng(bins)
    confidence = draw.uniform(0, 1, 500)
    correct = draw.uniform(0, 1, 500) < confidence**2
    found = reliability(confidence, correct, bins)
    assert found.ece == pytest.approx(naive_ece(confidence.tolist(), correct.tolist(), bins), abs=1e-12)
    assert found.counts.sum() == 500 and len(found.edges) == bins + 1
    order = draw.permutation(500)
    assert reliability(confidence[order], correct[order], bins).ece == pytest.approx(found.ece)


def test_edges_belong_to_the_bin_below_and_empty_bins_are_nan() -> None:
    found = reliability(np.array([0.0, 0.5, 1.0]), np.array([False, True, True]), 2)
    assert found.counts.tolist() == [2, 1]
    one = reliability(np.ones(3), np.array([True, True, False]), 4)
    assert one.counts.tolist() == [0, 0, 0, 3] and math.isnan(one.accuracy[0])
    assert one.ece == pytest.approx(1 / 3)


@pytest.mark.parametrize("confidence", [[], [1.1], [-0.1], [math.nan]])
def test_what_is_no_confidence_is_refused(confidence: list[float]) -> None:
    with pytest.raises(ValueError, match=r"confidences in 0..1"):
        reliability(np.array(confidence), np.ones(len(confidence), dtype=bool))
