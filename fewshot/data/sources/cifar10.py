"""CIFAR-10 (Krizhevsky 2009), for continual learning: Split-CIFAR10 is 5 tasks of 2 classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fewshot.data import pickles
from fewshot.data.file_tree import FileTree, open_tree
from fewshot.data.source import ClassSplit, Download, Record, Source
from fewshot.data.sources.pixel_rows import check_rows, rgb_images
from fewshot.errors import InputError

_FOLDER = "cifar-10-batches-py"
_ARCHIVE = "cifar-10-python.tar.gz"
_META = "batches.meta"
_FOLDS = {**{f"data_batch_{number}": "train" for number in range(1, 6)}, "test_batch": "test"}


@dataclass(frozen=True, kw_only=True)
class Cifar10(Source):
    """The 60,000 images of CIFAR-10, called "CLASS/train/FILE" or "CLASS/test/FILE" by the owner's parts."""

    name: ClassVar[str] = "cifar10"
    title: ClassVar[str] = "CIFAR-10"
    terms: ClassVar[str] = (
        "research use; cite Krizhevsky, Learning multiple layers of features from tiny images, 2009"
    )
    needs: ClassVar[str] = (
        f"{_ARCHIVE} (or extracted: {_FOLDER}/) from https://www.cs.toronto.edu/~kriz/cifar.html"
    )
    splits: ClassVar[tuple[str, ...]] = ("all",)
    downloads: ClassVar[tuple[Download, ...]] = (
        Download(
            "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
            _ARCHIVE,
            "c58f30108f718f92721af3b95e74349a",
        ),
    )

    size: int = 32
    mean: tuple[float, ...] = (0.4914, 0.4822, 0.4465)
    std: tuple[float, ...] = (0.2470, 0.2435, 0.2616)

    def find(self, folder: Path) -> str | None:
        return None if _tree(folder) is None else "cifar-10-batches-py"

    def records(self, folder: Path) -> Iterator[Record]:
        tree = _tree(folder)
        assert tree is not None
        paths = {name.rsplit("/", 1)[-1]: name for name in tree.names}
        if absent := [name for name in (_META, *_FOLDS) if name not in paths]:
            raise InputError(f"{tree.root}: has no file {absent[0]!r} of CIFAR-10; get the archive again")
        where = f"{tree.root}: {_META}"
        meta = pickles.load_bytes(tree.read(paths[_META]), where)
        classes = pickles.texts(meta, "label_names", where)
        for path, data in tree.read_all([paths[name] for name in _FOLDS]):
            where, fold = f"{tree.root}: {path}", _FOLDS[path.rsplit("/", 1)[-1]]
            content = pickles.load_bytes(data, where)
            labels = pickles.integers(content, "labels", where)
            files = pickles.texts(content, "filenames", where)
            check_rows(labels, files, len(classes), where)
            images = rgb_images(pickles.entry(content, "data", where), len(labels), 32, where)
            for label, file, image in zip(labels, files, images, strict=True):
                yield Record(classes[label], f"{classes[label]}/{fold}/{file}", image)

    def class_split(self, class_names: Sequence[str]) -> ClassSplit:
        return ClassSplit(train=tuple(class_names))

    def test_images(self, names: Sequence[str]) -> NDArray[np.bool_] | None:
        return np.array([name.split("/")[1] == "test" for name in names])


def _tree(folder: Path) -> FileTree | None:
    for place in (folder, folder / _FOLDER):
        if (place / _META).is_file():
            return open_tree(place)
    archive = folder / _ARCHIVE
    return open_tree(archive) if archive.is_file() else None
