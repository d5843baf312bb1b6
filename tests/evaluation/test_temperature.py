"""The fitted temperature is where the likelihood is highest."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from fewshot.evaluation.calibration import reliability
from fewshot.evaluation.temperature import confidence, fitted_temperature


def groups(scale: float = 1.0, seed: int = 0) -> list[tuple[Tensor, Tensor]]:
    """Noisy scores of queries among 3 and among 5 ways."""
    draw = torch.Generator().manual_seed(seed)
    made = []
    for ways in (3, 5):
        labels = torch.randint(ways, (200,), generator=draw)
        scores = torch.randn(200, ways, generator=draw)
        scores[torch.arange(200), labels] += 1.2
        made.append((scale * scores, labels))
    return made


def nll(several: list[tuple[Tensor, Tensor]], temperature: float) -> float:
    """By a plain loop."""
    lost = [
        math.log(sum(math.exp(float(s) / temperature) for s in row)) - float(row[label]) / temperature
        for scores, labels in several
        for row, label in zip(scores.double(), labels, strict=True)
    ]
    return sum(lost) / len(lost)


@pytest.mark.parametrize("scale", [0.01, 1.0, 300.0])
def test_no_other_temperature_is_better(scale: float) -> None:
    several = groups(scale)
    fitted = fitted_temperature(several)
    best = nll(several, fitted)
    assert all(nll(several, fitted * factor) > best for factor in (0.5, 0.9, 0.99, 1.01, 1.1, 2.0))
    assert confidence(several, fitted).nll == pytest.approx(best, rel=1e-9)
    assert confidence(several, fitted).nll <= confidence(several, 1.0).nll


def test_the_error_of_calibration_is_that_of_the_highest_probability() -> None:
    several = groups()
    told, right = [], []
    for scores, labels in several:
        p = (scores.double() / 0.7).softmax(dim=-1)
        told += p.amax(dim=-1).tolist()
        right += [bool(row.argmax() == label) for row, label in zip(p, labels, strict=True)]
    expected = reliability(np.array(told), np.array(right)).ece
    assert confidence(several, 0.7).ece == pytest.approx(expected, rel=1e-12)
    with pytest.raises(ValueError, match="no queries"):
        confidence([], 1.0)


def test_it_scales_with_the_scores_and_ignores_what_is_added_to_them() -> None:
    fitted = fitted_temperature(groups())
    assert fitted_temperature(groups(7.0)) == pytest.approx(7 * fitted)
    moved = [(scores + torch.arange(len(scores))[:, None], labels) for scores, labels in groups()]
    assert fitted_temperature(moved) == pytest.approx(fitted, rel=1e-6)


def test_where_there_is_no_minimum_it_ends_at_a_bound() -> None:
    labels = torch.tensor([0, 1, 2])
    right = torch.eye(3)
    assert 0 < fitted_temperature([(right, labels)]) < 1e-3
    assert fitted_temperature([(-right, labels)]) > 1e3
    assert fitted_temperature([(torch.zeros(3, 3), labels)]) == 1.0
    with pytest.raises(ValueError, match="needs queries"):
        fitted_temperature([])
    with pytest.raises(ValueError, match="not finite"):
        fitted_temperature([(right / 0, labels)])
