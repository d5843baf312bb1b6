"""Similarities of mixed examples that nearly vanish."""

from __future__ import annotations

import pytest
import torch

from fewshot.losses.similarity import mixed_similarities


@pytest.mark.parametrize("length", [0.0, 2e-5, 9e-5, 2e-4, 0.3])
def test_a_mixture_of_opposite_unit_vectors_is_divided_by_1e_4_at_least(length: float) -> None:
    between = torch.tensor(4 * length**2 / 2 - 1, dtype=torch.float64)  # then the mean of both is so long
    first, second = torch.tensor([0.6, 0.8], dtype=torch.float64)
    found = mixed_similarities(first, second, between, 0.5, "cosine")
    exact = float(torch.tensor(0.5, dtype=torch.float64) * (1 + between)) ** 0.5  # of the rounded cosine
    assert exact == pytest.approx(length, rel=1e-3)
    assert float(found) == pytest.approx(0.7 / max(exact, 1e-4), rel=1e-6)
