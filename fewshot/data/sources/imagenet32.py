"""ImageNet at 32 x 32 pixels (Chrabaszcz et al. 2017, arXiv 1707.08819), in its pickled batches."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fewshot.data import pickles
from fewshot.data.file_tree import FileTree, open_tree
from fewshot.data.source import ClassSplit, Record, Source
from fewshot.data.sources.imagenet_folders import IMAGENET_MEAN, IMAGENET_STD
from fewshot.data.sources.pixel_rows import rgb_images
from fewshot.errors import InputError

CLASSES = 1000
_BATCH = re.compile(r"(?:^|/)(train_data_batch_\d+|val_data)$")
_PLACES = ("", "Imagenet32_train", "Imagenet32_val", "Imagenet32_train.zip", "Imagenet32_val.zip")


@dataclass(frozen=True, kw_only=True)
class ImageNet32(Source):
    """1,281,167 training and 50,000 validation images; a class is its number in the files, "0001" to "1000".

    The numbers are those of the challenge's `map_clsloc.txt`; which words they stand for, the files do not
    say. Images are named "CLASS/train/BATCH-ROW" or "CLASS/test/BATCH-ROW": the validation images of the
    challenge, whose test labels are secret, are the test images here.
    """

    name: ClassVar[str] = "imagenet32"
    title: ClassVar[str] = "ImageNet at 32 x 32 pixels"
    terms: ClassVar[str] = "non-commercial research and education (ImageNet)"
    needs: ClassVar[str] = (
        "Imagenet32_train.zip and Imagenet32_val.zip (or extracted: train_data_batch_1 to _10 and val_data) "
        "from https://image-net.org/download-images.php"
    )
    splits: ClassVar[tuple[str, ...]] = ("all",)

    size: int = 32
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    residency: str = "memmap"

    def find(self, folder: Path) -> str | None:
        found = {name: None for _, _, name in _batches(folder)}
        return f"{len(found)} pickled batches" if found else None

    def records(self, folder: Path) -> Iterator[Record]:
        for tree, path, batch in _batches(folder):
            where = f"{tree.root}: {path}"
            content = pickles.load_bytes(tree.read(path), where)
            labels = pickles.integers(content, "labels", where)
            images = rgb_images(pickles.entry(content, "data", where), len(labels), 32, where)
            if len(labels) and not 1 <= labels.min() <= labels.max() <= CLASSES:
                raise InputError(f"{where}: its labels are not from 1 to {CLASSES}; get the file again")
            fold = "test" if batch == "val_data" else "train"
            for row, (label, image) in enumerate(zip(labels.tolist(), images, strict=True)):
                yield Record(f"{label:04d}", f"{label:04d}/{fold}/{batch}-{row:06d}", image)

    def class_split(self, class_names: Sequence[str]) -> ClassSplit:
        return ClassSplit(train=tuple(class_names))

    def test_images(self, names: Sequence[str]) -> NDArray[np.bool_] | None:
        test = np.array([name.split("/")[1] == "test" for name in names])
        return test if test.any() else None


def _batches(folder: Path) -> list[tuple[FileTree, str, str]]:
    """Where each batch lies: its tree, its path there, its name; training batches in order, then val_data."""
    found: dict[str, tuple[FileTree, str, str]] = {}
    for place in _PLACES:
        at = folder / place
        files = sorted(path.name for path in at.iterdir()) if at.is_dir() else []
        if at.is_file() or any(_BATCH.search(name) for name in files):
            tree = open_tree(at)
            for path in tree.names:
                if match := _BATCH.search(path):
                    found.setdefault(match[1], (tree, path, match[1]))
    return sorted(found.values(), key=lambda batch: (batch[2] == "val_data", len(batch[2]), batch[2]))
