"""Classes to choose a model by, where the published split has none."""

from __future__ import annotations

from fewshot.data.seeded_split import seeded_split
from fewshot.data.source import ClassSplit
from fewshot.errors import InputError

LEAST = 2
"""Fewer classes than this cannot be told apart, so that every model would be as good."""


def hold_out(split: ClassSplit, share: float, seed: int) -> ClassSplit:
    """Move a part of the training classes to val; the test classes stay as they are.

    Args:
        split: without val classes.
        share: of the training classes, above 0 and below 1; at least two are moved and one is left.
        seed: another one moves other classes.

    Returns:
        The split; within its parts, classes are in the order of `split.train`.

    Raises:
        InputError: the share is none, or there are fewer than three training classes.
        ValueError: the split has val classes.
    """
    if split.val:
        raise ValueError(f"the split has {len(split.val)} val classes already")
    if not 0 < share < 1:
        raise InputError(f"hold out: share={share} must be above 0 and below 1, a part of the classes")
    count = len(split.train)
    if count <= LEAST:
        raise InputError(
            f"hold out: of {count} training classes, {LEAST} cannot be held out with one left; choose a "
            "split with more, or train without validation"
        )
    moved = min(max(round(share * count), LEAST), count - 1)
    chosen = set(seeded_split(split.train, (count - moved, moved, 0), seed, "held-out classes").val)
    return ClassSplit(
        train=tuple(name for name in split.train if name not in chosen),
        val=tuple(name for name in split.train if name in chosen),
        test=split.test,
    )
