"""Values of a config against annotations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Optional, Union

import pytest

from fewshot.annotations import convert

FITTING = [
    (3, int, 3),
    (3, float, 3.0),
    (True, bool, True),
    ("a", str, "a"),
    (5, str, "5"),
    ("a", Path, Path("a")),
    (None, int | None, None),
    (None, Optional[int], None),  # noqa: UP045
    (3, Union[str, int], 3),  # noqa: UP007
    (3, str | float, "3"),
    ([1, 2], tuple[float, ...], (1.0, 2.0)),
    ([1, 2.5], tuple[float, float], (1.0, 2.5)),
    ([1, 2], Sequence[int], [1, 2]),
    ([1], list, [1]),
    ([1, 5], int | list[int], [1, 5]),
    ({"a": 1}, Mapping[str, float], {"a": 1.0}),
    ({"a": 1}, dict, {"a": 1}),
    ("max", Literal["mean", "max"], "max"),
    (object, Any, object),
]
MISFITS = [
    ("five", int, "expected int, got 'five'"),
    (2.5, int, "expected int, got 2.5"),
    (True, int, "expected int, got true"),
    (True, float, "expected float, got true"),
    (True, str, "expected str, got true"),
    (1, bool, "expected bool, got 1"),
    (None, int, "expected int, got null"),
    ("x", int | None, "expected int or null, got 'x'"),
    ([1], tuple[float, float], "expected tuple[float, float], got [1]"),
    (["a"], tuple[float, ...], "expected tuple[float, ...], got ['a']"),
    ("ab", Sequence[str], "expected Sequence[str], got 'ab'"),
    ("min", Literal["mean", "max"], "expected one of mean, max, got 'min'"),
    ({"a": "b"}, dict[str, int], "expected dict[str, int], got {'a': 'b'}"),
    ([1], dict, "expected dict, got [1]"),
    (1, Path, "expected Path, got 1"),
]


@pytest.mark.parametrize("value, annotation, converted", FITTING)
def test_fits(value: Any, annotation: Any, converted: Any) -> None:
    got = convert(value, annotation)
    assert got == converted and type(got) is type(converted)


@pytest.mark.parametrize("value, annotation, text", MISFITS)
def test_misfit_says_what_was_expected(value: Any, annotation: Any, text: str) -> None:
    with pytest.raises(TypeError) as caught:
        convert(value, annotation)
    assert str(caught.value) == text
