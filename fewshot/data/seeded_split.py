"""Class splits for sets without a published one: drawn from a seed, or by the order of the classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fewshot.data.source import ClassSplit
from fewshot.errors import InputError
from fewshot.randomness import stream_bits


def check_complete(class_names: Sequence[str], count: int, where: str) -> None:
    """Refuse a set that lacks classes: a division of the others would be another one, and go unnoticed.

    Args:
        class_names: of the image set.
        count: how many classes the set has as published.
        where: for the error message, e.g. "data=cars".

    Raises:
        InputError: the numbers differ.
    """
    if len(class_names) != count:
        raise InputError(
            f"{where}: the image set has {len(class_names)} classes, not {count}; "
            "complete the original files and prepare the set again"
        )


def seeded_split(
    class_names: Sequence[str], counts: tuple[int, int, int], seed: int, stream: str
) -> ClassSplit:
    """Divide the classes at random.

    Args:
        class_names: in any order; they are sorted first.
        counts: of train, val and test classes; together, at most all of them.
        seed: another one gives another division.
        stream: name of the set, so that sets of one size are not divided alike.

    Returns:
        Parts in the order of the names. They depend on the arguments alone, on any machine.
    """
    names = sorted(class_names)
    if sum(counts) > len(names):
        raise ValueError(f"{sum(counts)} classes wanted of {len(names)}")
    words = stream_bits(seed, f"class split of {stream}", np.arange(len(names)), 1)[:, 0]
    order = np.argsort(words, kind="stable")
    ends = np.cumsum(counts)
    train, val, test, _ = (tuple(names[i] for i in sorted(rows)) for rows in np.split(order, ends))
    return ClassSplit(train, val, test)


def halves(class_names: Sequence[str]) -> ClassSplit:
    """First half of the sorted classes to train on, the rest to test: the convention of deep metric learning.

    Song et al., "Deep Metric Learning via Lifted Structured Feature Embedding", CVPR 2016: the first
    100 classes of CUB-200-2011 and the first 98 of Stanford Cars. It has no val part.
    """
    names = tuple(sorted(class_names))
    return ClassSplit(train=names[: len(names) // 2], test=names[len(names) // 2 :])
