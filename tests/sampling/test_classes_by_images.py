"""P classes x K images: distinct where they can be, uniform, keyed by the step alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fewshot.data.image_set import ImageSet
from fewshot.errors import InputError
from fewshot.sampling.class_table import ClassTable
from fewshot.sampling.classes_by_images import ClassesByImages

SIZES = [9, 1, 5, 30, 3, 12, 7]


def table(sizes: list[int]) -> tuple[ClassTable, np.ndarray]:
    """Classes of these sizes whose images lie in a random order."""
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes)).astype(np.int64)
    names = [f"class {i}" for i in range(len(sizes))]
    pixels = torch.zeros(len(labels), 1, 1, 1, dtype=torch.uint8)
    return ClassTable.of(ImageSet(pixels, torch.from_numpy(labels), tuple(names)), names), labels


def test_a_batch_is_distinct_classes_of_distinct_images() -> None:
    classes, labels = table(SIZES)
    sampler = ClassesByImages(classes, classes=4, images=5, seed=3)
    for step in range(200):
        batch = sampler.step(step)
        assert batch.shape == (20,) and batch.dtype == np.int64
        rows = labels[batch].reshape(4, 5)
        assert (rows == rows[:, :1]).all() and len(set(rows[:, 0].tolist())) == 4
        for row, images in zip(rows[:, 0], batch.reshape(4, 5), strict=True):
            assert len(set(images.tolist())) == 5 or SIZES[row] < 5


def test_classes_and_images_are_uniform() -> None:
    classes, labels = table(SIZES)
    sampler = ClassesByImages(classes, classes=3, images=5)
    drawn = np.concatenate([sampler.step(step) for step in range(4000)])
    of_class = np.bincount(labels[drawn], minlength=len(SIZES))
    assert of_class / of_class.sum() == pytest.approx(1 / len(SIZES), rel=0.06)
    for number, size in enumerate(SIZES):
        of_image = np.bincount(drawn, minlength=len(labels))[labels == number]
        assert of_image / of_image.sum() == pytest.approx(1 / size, rel=0.25)


def test_a_small_class_is_drawn_with_replacement() -> None:
    classes, _ = table([3, 3])
    sampler = ClassesByImages(classes, classes=2, images=4)
    patterns = {tuple(sorted(np.bincount(row)[np.bincount(row) > 0].tolist())) for row in _rows(sampler, 300)}
    assert patterns == {(4,), (1, 3), (2, 2), (1, 1, 2)}


def _rows(sampler: ClassesByImages, steps: int) -> np.ndarray:
    return np.concatenate([sampler.step(step).reshape(sampler.classes, -1) for step in range(steps)])


def test_the_step_is_the_whole_state() -> None:
    classes, _ = table(SIZES)
    first, second = (ClassesByImages(classes, classes=3, images=2, seed=1) for _ in range(2))
    forward = [first.step(step) for step in range(6)]
    assert all((second.step(step) == forward[step]).all() for step in (5, 0, 3))
    assert len({tuple(batch.tolist()) for batch in forward}) == 6
    for other in ({"seed": 2}, {"stream": "other"}):
        changed = ClassesByImages(classes, classes=3, images=2, **{"seed": 1, **other})  # type: ignore[arg-type]
        assert (changed.step(0) != forward[0]).any()


def test_the_draws_of_a_seed_never_change() -> None:
    """A change of these digits would silently make old and new runs incomparable."""
    classes, _ = table(SIZES)
    assert ClassesByImages(classes, classes=2, images=3).step(7).tolist() == [62, 39, 9, 51, 11, 18]


def test_an_epoch_shows_about_as_many_images_as_there_are() -> None:
    classes, _ = table(SIZES)
    assert ClassesByImages(classes, classes=3, images=4).steps_per_epoch == 67 // 12
    assert ClassesByImages(classes, classes=7, images=20).steps_per_epoch == 1


@pytest.mark.parametrize(
    "change,message",
    [
        ({"classes": 8}, "classes=8, but there are only 7 classes for train: lower sampler.classes"),
        ({"classes": 0}, "classes=0 for train must be at least 1"),
        ({"images": 0}, "images=0 for train must be at least 1"),
    ],
)
def test_impossible_batches_are_one_clear_line(change: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        ClassesByImages(table(SIZES)[0], **{"classes": 2, "images": 2, **change})
    assert "\n" not in str(caught.value)


def test_an_empty_class_is_named() -> None:
    with pytest.raises(InputError, match=r"class 'class 1' has no image \(1 such classes for train\)"):
        ClassesByImages(table([3, 0, 2])[0], classes=2, images=2)
