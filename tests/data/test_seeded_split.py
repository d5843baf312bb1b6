from __future__ import annotations

import pytest

from fewshot.data.seeded_split import check_complete, halves, seeded_split
from fewshot.errors import InputError

NAMES = [f"{number:03d}" for number in range(120)]
PUBLISHED = (
    ("000", "002", "003", "007", "008"),
    ("004", "013", "016", "021", "026"),
    ("001", "005", "006", "009", "011"),
)


def test_counts_are_kept_and_the_parts_are_disjoint() -> None:
    split = seeded_split(NAMES, (70, 20, 20), 0, "dogs")
    assert (len(split.train), len(split.val), len(split.test)) == (70, 20, 20)
    assert set(split.train + split.val + split.test) < set(NAMES)
    assert list(split.train) == sorted(split.train)


def test_it_depends_on_names_seed_and_stream_alone() -> None:
    split = seeded_split(NAMES, (70, 20, 30), 0, "dogs")
    assert seeded_split(NAMES[::-1], (70, 20, 30), 0, "dogs") == split
    assert seeded_split(NAMES, (70, 20, 30), 1, "dogs") != split
    assert seeded_split(NAMES, (70, 20, 30), 0, "cars") != split


def test_the_published_draw_never_changes() -> None:
    """Results are compared on it: these are the first classes of each part, written down once."""
    split = seeded_split(NAMES, (70, 20, 30), 0, "dogs")
    assert split.train[:5] == PUBLISHED[0]
    assert split.val[:5] == PUBLISHED[1]
    assert split.test[:5] == PUBLISHED[2]


def test_too_many_classes_wanted() -> None:
    with pytest.raises(ValueError, match="121 classes wanted of 120"):
        seeded_split(NAMES, (70, 20, 31), 0, "dogs")


def test_a_set_that_lacks_classes_is_refused() -> None:
    check_complete(NAMES, 120, "data=dogs")
    with pytest.raises(InputError, match="data=dogs: the image set has 119 classes, not 120; complete"):
        check_complete(NAMES[1:], 120, "data=dogs")


def test_halves_go_by_the_order_of_the_names() -> None:
    split = halves(NAMES[::-1])
    assert (split.train, split.val, split.test) == (tuple(NAMES[:60]), (), tuple(NAMES[60:]))
