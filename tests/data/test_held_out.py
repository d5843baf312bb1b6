from __future__ import annotations

import pytest

from fewshot.data.held_out import hold_out
from fewshot.data.source import ClassSplit
from fewshot.errors import InputError

SPLIT = ClassSplit(train=tuple(f"{number:03d}" for number in range(100)), test=("a", "b"))


def test_a_share_of_the_training_classes_becomes_val() -> None:
    held = hold_out(SPLIT, 0.1, seed=0)
    assert (len(held.train), len(held.val), held.test) == (90, 10, SPLIT.test)
    assert sorted(held.train + held.val) == list(SPLIT.train)
    assert list(held.train) == sorted(held.train) and list(held.val) == sorted(held.val)


def test_it_depends_on_the_names_the_share_and_the_seed_alone() -> None:
    held = hold_out(SPLIT, 0.1, seed=0)
    assert hold_out(SPLIT, 0.1, seed=0) == held
    assert hold_out(SPLIT, 0.1, seed=1) != held
    backwards = hold_out(ClassSplit(train=SPLIT.train[::-1], test=SPLIT.test), 0.1, seed=0)
    assert backwards.val == held.val[::-1] and backwards.train == held.train[::-1]


def test_every_class_is_held_out_by_some_seed() -> None:
    seen = set().union(*(hold_out(SPLIT, 0.2, seed).val for seed in range(60)))
    assert seen == set(SPLIT.train)


def test_the_draw_never_changes() -> None:
    """Models are chosen by it: the classes of one draw, written down once."""
    assert hold_out(SPLIT, 0.05, seed=0).val == ("006", "007", "028", "056", "069")


@pytest.mark.parametrize(
    ("classes", "share", "moved"),
    [(3, 0.01, 2), (3, 0.99, 2), (4, 0.99, 3), (10, 0.01, 2), (10, 0.5, 5), (10, 0.999, 9)],
)
def test_at_least_two_are_moved_and_one_is_left(classes: int, share: float, moved: int) -> None:
    held = hold_out(ClassSplit(train=SPLIT.train[:classes]), share, seed=0)
    assert (len(held.val), len(held.train)) == (moved, classes - moved)


@pytest.mark.parametrize("classes", [0, 1, 2])
def test_too_few_classes_are_one_clear_line(classes: int) -> None:
    with pytest.raises(InputError, match=f"of {classes} training classes, 2 cannot be held out") as error:
        hold_out(ClassSplit(train=SPLIT.train[:classes]), 0.5, seed=0)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_a_share_that_is_none(share: float) -> None:
    with pytest.raises(InputError, match="must be above 0 and below 1"):
        hold_out(SPLIT, share, seed=0)


def test_a_split_with_val_classes_needs_none() -> None:
    with pytest.raises(ValueError, match="1 val classes already"):
        hold_out(ClassSplit(train=("a", "b", "c"), val=("d",)), 0.5, seed=0)
