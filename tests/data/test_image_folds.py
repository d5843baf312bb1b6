"""Training, validation and test images of each class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fewshot.data.image_folds import TEST, TRAIN, VALIDATION, image_folds
from fewshot.data.image_set import ImageSet
from fewshot.data.sources.cifar import Cifar100, CifarFS
from fewshot.data.sources.folder import ImageFolder
from fewshot.errors import InputError


def image_set(*counts: int) -> ImageSet:
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]
    images = torch.zeros(len(labels), 1, 2, 2, dtype=torch.uint8)
    return ImageSet(images, labels, tuple(f"class {i}" for i in range(len(counts))))


def folds(images: ImageSet, test: Any = None, **settings: Any) -> Any:
    return image_folds(images, test, **{"test_share": 1 / 6, "validation_share": 0.0, **settings})


def test_each_class_gives_its_share_and_keeps_an_image() -> None:
    images = image_set(600, 20, 3)
    found = folds(images, validation_share=0.25)
    labels = images.labels.numpy()
    of = [[int(((labels == label) & (found == fold)).sum()) for fold in (0, 1, 2)] for label in range(3)]
    assert of == [[375, 125, 100], [13, 4, 3], [1, 1, 1]]


def test_the_test_images_depend_on_neither_validation_nor_company() -> None:
    images = image_set(40, 60)
    without, beside = folds(images), folds(images, validation_share=0.5)
    assert ((without == TEST) == (beside == TEST)).all() and (beside == VALIDATION).any()
    assert ((folds(images, seed=1) == TEST) != (without == TEST)).any()


def test_the_owners_test_images_are_kept() -> None:
    images = image_set(6, 6)
    test = np.arange(12) % 2 == 0
    found = folds(images, test, validation_share=0.3)
    assert ((found == TEST) == test).all() and (found == TRAIN).any()


@pytest.mark.parametrize(
    ("counts", "test", "settings", "says"),
    [
        ((3, 0, 4), None, {}, "class 'class 1' has no image to train on and to test on, and needs 2"),
        ((3, 1), None, {}, "class 'class 1' has one image to train on and to test on, and needs 2"),
        ((2, 2), None, {"validation_share": 0.1}, "has one image to train on and to validate on"),
        ((2, 2), [True] * 4, {}, "class 'class 0' has no image to train on, and needs 1"),
        ((2, 2), [False] * 4, {}, "class 'class 0' has no image to test on, and needs 1"),
        ((2, 2), None, {"test_share": 0.0}, "scenario.test_share=0.0 must be above 0"),
        ((2, 2), None, {"test_share": 1.0}, "scenario.test_share=1.0 must be above 0"),
        ((2, 2), None, {"validation_share": -0.1}, "scenario.validation_share=-0.1 must be at least 0"),
    ],
)
def test_a_class_without_images_is_named(
    counts: tuple[int, ...], test: list[bool] | None, settings: dict[str, float], says: str
) -> None:
    with pytest.raises(InputError, match=says) as caught:
        folds(image_set(*counts), None if test is None else np.array(test), **settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", [Cifar100(protocol="continual"), CifarFS()])
def test_cifar_has_the_owners_folds_if_the_names_say_so(source: Any) -> None:
    found = source.test_images(["apple/train/a.png", "apple/test/b.png"])
    assert found.tolist() == [False, True]
    assert source.test_images(["apple/a.png", "apple/b.png"]) is None
    assert source.test_images(["apple/00001", "apple/train/b.png"]) is None


def test_folders_train_and_test_hold_images_of_the_same_classes(tmp_path: Path) -> None:
    source = ImageFolder(path=str(tmp_path), protocol="continual")
    assert source.split == "seeded"
    found = source.test_images(["train/dog/1.jpg", "test/dog/2.jpg", "train/big/cat/3.jpg"])
    assert found is not None and found.tolist() == [False, True, False]
    assert source.test_images(["train/dog/1.jpg", "val/dog/2.jpg"]) is None
    assert source.test_images(["dog/1.jpg", "cat/2.jpg"]) is None
