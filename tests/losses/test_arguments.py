"""The numbers that a loss accepts, up to their bounds; a refusal names the argument."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from fewshot.errors import InputError
from fewshot.losses.arguments import above_zero, at_least_one, at_least_zero, finite, share

BAD = (math.nan, math.inf, -math.inf)
CHECKS: list[tuple[Callable[..., float], tuple[float, ...], tuple[float, ...]]] = [
    (above_zero, (1e-9, 0.5, 1, 2e9), (0, -1e-9, *BAD)),
    (at_least_zero, (0, 1e-9, 1, 2e9), (-1e-9, -1, *BAD)),
    (at_least_one, (1, 2, 3.0), (0, -1, 0.5, 1.5, 2.25)),
    (share, (0, 0.5, 0.999), (-1e-9, 1, 1.5, *BAD)),
    (finite, (-2.5, -1, 0, 1, 2.5), BAD),
]


@pytest.mark.parametrize(("check", "good", "bad"), CHECKS, ids=[check.__name__ for check, *_ in CHECKS])
def test_values_up_to_the_bounds(
    check: Callable[..., float], good: tuple[float, ...], bad: tuple[float, ...]
) -> None:
    for value in good:
        assert check(margin=value) == value
    for value in bad:
        with pytest.raises(InputError, match=f"^margin={value} of the loss must be "):
            check(margin=value)
        if check is not finite:
            with pytest.raises(InputError, match=f"^continual.margin={value} must be "):
                check("continual", margin=value)
