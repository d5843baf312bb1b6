from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from fewshot.evaluation.intervals import NORMAL, Interval, mean_interval, paired_difference, seed_interval


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
    for pair in ((ours, theirs[:-1]), (ours[:-1], theirs)):
        with pytest.raises(ValueError, match="same episodes"):
            paired_difference(*pair)


def test_an_interval_that_ends_at_zero_does_not_exclude_it() -> None:
    assert [Interval(mean, 0.25, 9, NORMAL).excludes_zero for mean in (-0.3, -0.25, 0.25, 0.3)] == [
        True, False, False, True,
    ]  # fmt: skip


@pytest.mark.parametrize("values", [[0.61, 0.64, 0.60], [0.5, 0.75], [0.3, 0.2, 0.6, 0.4], [0.1] * 4 + [0.2]])
def test_seed_interval(values: list[float]) -> None:
    low, high = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    interval = seed_interval(values)
    assert interval.mean - interval.half_width == pytest.approx(low)
    assert interval.mean + interval.half_width == pytest.approx(high)


def test_one_value_has_no_interval() -> None:
    for interval in (mean_interval([0.5]), seed_interval([0.5])):
        assert interval.mean == 0.5
        assert math.isnan(interval.half_width)
        assert not interval.excludes_zero
    for values in ([], 0.5, [[0.5, 0.6]]):
        with pytest.raises(ValueError, match="n at least 1"):
            mean_interval(values)  # type: ignore[arg-type]
