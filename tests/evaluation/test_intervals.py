from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from fewshot.evaluation.intervals import mean_interval, paired_difference, seed_interval


def test_mean_interval_is_196_s_over_root_n() -> None:
    values = [0.2, 0.4, 0.9, 0.5]
    mean = sum(values) / 4
    s = math.sqrt(sum((v - mean) ** 2 for v in values) / 3)
    interval = mean_interval(values)
    assert interval.mean == pytest.approx(mean)
    assert interval.half_width == pytest.approx(1.96 * s / 2)
    assert interval.n == 4
    assert str(interval) == "50.00 +- 28.85"


def test_paired_difference_uses_the_differences() -> None:
    random = np.random.default_rng(0)
    hard = random.normal(0.6, 0.1, 500)
    ours, theirs = hard + 0.01 + random.normal(0, 0.005, 500), hard
    paired = paired_difference(ours, theirs)
    assert paired.mean == pytest.approx(ours.mean() - theirs.mean())
    assert paired.half_width == pytest.approx(1.96 * np.std(ours - theirs, ddof=1) / math.sqrt(500))
    assert paired.excludes_zero
    assert mean_interval(ours).half_width > 5 * paired.half_width
    with pytest.raises(ValueError, match="same episodes"):
        paired_difference(ours, theirs[:-1])


def test_seed_interval() -> None:
    values = [0.61, 0.64, 0.60]
    low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    interval = seed_interval(values)
    assert interval.mean - interval.half_width == pytest.approx(low)
    assert interval.mean + interval.half_width == pytest.approx(high)


def test_one_value_has_no_interval() -> None:
    for interval in (mean_interval([0.5]), seed_interval([0.5])):
        assert interval.mean == 0.5
        assert math.isnan(interval.half_width)
        assert not interval.excludes_zero
    with pytest.raises(ValueError, match="n at least 1"):
        mean_interval([])
