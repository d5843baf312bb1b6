"""Training, validation and test images of the same classes, for continual learning."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fewshot.data.image_set import ImageSet
from fewshot.errors import InputError
from fewshot.randomness import stream_bits

TRAIN, VALIDATION, TEST = 0, 1, 2


def image_folds(
    image_set: ImageSet,
    test: NDArray[np.bool_] | None,
    *,
    test_share: float,
    validation_share: float,
    seed: int = 0,
) -> NDArray[np.int8]:
    """Divide the images of each class; every class has training and test images, which are apart.

    Args:
        image_set: every class of it.
        test: bool [n], the owner's test images (`Source.test_images`); None draws them.
        test_share: of each class, drawn if `test` is None: rounded, at least one image, and one is left.
        validation_share: of what is left of each class, drawn likewise; 0 draws none. It never touches the
            test images, and they do not depend on it.
        seed: another one draws other images.

    Returns:
        int8 [n]: TRAIN, VALIDATION or TEST.

    Raises:
        InputError: a share that is none; a class with too few images for its folds.
    """
    if test is None and not 0 < test_share < 1:
        raise InputError(f"scenario.test_share={test_share} must be above 0 and below 1, a share")
    if not 0 <= validation_share < 1:
        raise InputError(
            f"scenario.validation_share={validation_share} must be at least 0 and below 1, a share of the "
            "training images of each class"
        )
    labels = image_set.labels.numpy()
    everything = np.ones(len(labels), dtype=bool)
    _check(image_set, everything, 2, "to train on and to test on")
    if test is None:
        test = _drawn(labels, everything, test_share, seed, "test images")
    _check(image_set, test, 1, "to test on")
    _check(image_set, ~test, 1, "to train on")
    folds = np.where(test, TEST, TRAIN).astype(np.int8)
    if validation_share:
        _check(image_set, ~test, 2, "to train on and to validate on (scenario.validation_share)")
        folds[_drawn(labels, ~test, validation_share, seed, "validation images")] = VALIDATION
    return folds


def _drawn(
    labels: NDArray[np.int64], eligible: NDArray[np.bool_], share: float, seed: int, stream: str
) -> NDArray[np.bool_]:
    """bool [n]: of each class a share of its eligible images, at least one, with at least one left."""
    images = np.flatnonzero(eligible)
    keys = stream_bits(seed, stream, images, 1)[:, 0]
    order = images[np.lexsort((keys, labels[images]))]  # class by class, shuffled within
    counts = np.bincount(labels[images])
    rank = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    wanted = np.clip(np.rint(share * counts), 1, counts - 1)
    drawn = np.zeros(len(labels), dtype=bool)
    drawn[order[rank < np.repeat(wanted, counts)]] = True
    return drawn


def _check(image_set: ImageSet, chosen: NDArray[np.bool_], least: int, purpose: str) -> None:
    counts = np.bincount(image_set.labels.numpy()[chosen], minlength=len(image_set.class_names))
    few = np.flatnonzero(counts < least)
    if len(few):
        count = int(counts[few[0]])
        images = {0: "no image", 1: "one image"}.get(count, f"{count} images")
        raise InputError(
            f"continual learning: class {image_set.class_names[few[0]]!r} has {images} {purpose}, and needs "
            f"{least} ({len(few)} of {len(counts)} classes do); remove such classes or add images"
        )
