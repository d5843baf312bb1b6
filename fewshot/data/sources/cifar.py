"""CIFAR-100 (Krizhevsky 2009) and its two few-shot divisions, CIFAR-FS and FC100, over one pack."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fewshot.data import pickles
from fewshot.data.class_lists import class_list, divide, superclass_list
from fewshot.data.file_tree import FileTree, open_tree
from fewshot.data.seeded_split import check_complete, halves
from fewshot.data.source import PARTS, ClassSplit, Download, Record, Source
from fewshot.data.sources.pixel_rows import check_rows, rgb_images
from fewshot.errors import InputError

_FOLDS = ("train", "test")
_PYTHON = "cifar-100-python"
_FC100 = "FC100_{}.pickle"
_CLASS_FOLDER = re.compile(r"(?:^|/)data/([^/]+)/([^/]+\.png)$")


@dataclass(frozen=True, kw_only=True)
class Cifar100Images(Source):
    """The 60,000 images of CIFAR-100; a class is a fine label ("apple").

    From the owner's files an image is named "apple/train/FILE" or "apple/test/FILE", after the
    part of CIFAR-100 it is in; the other two forms do not say.
    """

    images: ClassVar[str] = "cifar100"
    terms: ClassVar[str] = (
        "research use; cite Krizhevsky, Learning multiple layers of features from tiny images, 2009"
    )
    needs: ClassVar[str] = (
        "cifar-100-python.tar.gz (or extracted) from https://www.cs.toronto.edu/~kriz/cifar.html, or the "
        "CIFAR-FS archive cifar100.zip (or extracted: cifar100/data/CLASS/*.png), or "
        "FC100_{train,val,test}.pickle"
    )
    downloads: ClassVar[tuple[Download, ...]] = (
        Download(
            "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
            "cifar-100-python.tar.gz",
            "eb9058c3a382ffc7106e4002c42a8d85",
        ),
    )

    size: int = 32
    mean: tuple[float, ...] = (0.5071, 0.4866, 0.4409)
    std: tuple[float, ...] = (0.2673, 0.2564, 0.2762)

    def find(self, folder: Path) -> str | None:
        if _python_tree(folder) is not None:
            return "cifar-100-python"
        if _class_folder_tree(folder) is not None:
            return "CIFAR-FS class folders"
        parts = [part for part in PARTS if (folder / _FC100.format(part)).is_file()]
        if not parts:
            return None
        return "FC100 pickles" if len(parts) == len(PARTS) else f"FC100 pickles ({' and '.join(parts)} only)"

    def records(self, folder: Path) -> Iterator[Record]:
        tree = _python_tree(folder)
        if tree is not None:
            return _from_python(tree)
        tree = _class_folder_tree(folder)
        return _from_fc100(folder) if tree is None else _from_class_folders(tree)

    @abstractmethod
    def class_split(self, class_names: Sequence[str]) -> ClassSplit:
        """As `Source.class_split`."""

    def superclasses(self, class_names: Sequence[str]) -> tuple[str, ...] | None:
        """CIFAR-100's 20 coarse labels."""
        coarse = superclass_list("cifar100_superclasses")
        return tuple(coarse[name] for name in class_names)

    def test_images(self, names: Sequence[str]) -> NDArray[np.bool_] | None:
        folds = [name.split("/")[1:-1] for name in names]
        if not all(len(fold) == 1 and fold[0] in _FOLDS for fold in folds):
            return None
        return np.array([fold == ["test"] for fold in folds])


@dataclass(frozen=True, kw_only=True)
class Cifar100(Cifar100Images):
    """CIFAR-100 itself.

    Splits: `all` (100 classes to train on, for continual learning, which divides the images by the
    owner's folds) and `retrieval` (first 50 classes in alphabetical order / last 50, no val).
    """

    name: ClassVar[str] = "cifar100"
    title: ClassVar[str] = "CIFAR-100"
    splits: ClassVar[tuple[str, ...]] = ("all", "retrieval")

    def class_split(self, class_names: Sequence[str]) -> ClassSplit:
        if self.split == "retrieval":
            check_complete(class_names, 100, "data=cifar100")
            return halves(class_names)
        return ClassSplit(train=tuple(class_names))


@dataclass(frozen=True, kw_only=True)
class CifarFS(Cifar100Images):
    """CIFAR-FS: 64 / 16 / 20 classes drawn at random (Bertinetto et al. 2019)."""

    name: ClassVar[str] = "cifar_fs"
    title: ClassVar[str] = "CIFAR-FS"
    splits: ClassVar[tuple[str, ...]] = ("bertinetto",)

    def class_split(self, class_names: Sequence[str]) -> ClassSplit:
        return divide(class_list("cifar100_bertinetto"), class_names, "data=cifar_fs split=bertinetto")


@dataclass(frozen=True, kw_only=True)
class FC100(Cifar100Images):
    """FC100: 60 / 20 / 20 classes, no superclass in two parts (Oreshkin et al. 2018)."""

    name: ClassVar[str] = "fc100"
    title: ClassVar[str] = "FC100"
    splits: ClassVar[tuple[str, ...]] = ("oreshkin",)

    def class_split(self, class_names: Sequence[str]) -> ClassSplit:
        return divide(class_list("cifar100_oreshkin"), class_names, "data=fc100 split=oreshkin")


def _python_tree(folder: Path) -> FileTree | None:
    for place in (folder, folder / _PYTHON):
        if (place / "meta").is_file() and (place / "train").is_file():
            return open_tree(place)
    archive = folder / f"{_PYTHON}.tar.gz"
    return open_tree(archive) if archive.is_file() else None


def _class_folder_tree(folder: Path) -> FileTree | None:
    split = class_list("cifar100_bertinetto")
    for place in (folder, folder / "cifar100"):
        if any((place / "data" / name).is_dir() for name in split.train + split.val + split.test):
            return open_tree(place)
    archive = folder / "cifar100.zip"
    return open_tree(archive) if archive.is_file() else None


def _from_python(tree: FileTree) -> Iterator[Record]:
    paths = {name.rsplit("/", 1)[-1]: name for name in tree.names}
    absent = [name for name in ("meta", *_FOLDS) if name not in paths]
    if absent:
        raise InputError(f"{tree.root}: has no file {absent[0]!r} of cifar-100-python; get the archive again")

    wanted = [paths[name] for name in ("meta", *_FOLDS)]
    contents = {
        path.rsplit("/", 1)[-1]: pickles.load_bytes(data, f"{tree.root}: {path}")
        for path, data in tree.read_all(wanted)
    }
    classes = pickles.texts(contents["meta"], "fine_label_names", f"{tree.root}: meta")
    for fold in _FOLDS:
        content, where = contents[fold], f"{tree.root}: {fold}"
        labels = pickles.integers(content, "fine_labels", where)
        files = pickles.texts(content, "filenames", where)
        check_rows(labels, files, len(classes), where)
        pixels = rgb_images(pickles.entry(content, "data", where), len(labels), 32, where)
        for label, file, row in zip(labels, files, pixels, strict=True):
            name = classes[label]
            yield Record(name, f"{name}/{fold}/{file}", row)


def _from_class_folders(tree: FileTree) -> Iterator[Record]:
    found = {name: match.groups() for name in tree.names if (match := _CLASS_FOLDER.search(name))}
    for path, content in tree.read_all(found):
        class_name, file = found[path]
        yield Record(class_name, f"{class_name}/{file}", content)


def _from_fc100(folder: Path) -> Iterator[Record]:
    """data uint8 [n, 32, 32, 3] and labels: numbers of CIFAR-100's fine classes in alphabetical order."""
    split = class_list("cifar100_oreshkin")
    alphabetical = sorted(split.train + split.val + split.test)
    for part in PARTS:
        path = folder / _FC100.format(part)
        if not path.is_file():
            continue
        content = pickles.load_path(path)
        labels = pickles.integers(content, "labels", str(path))
        pixels = rgb_images(pickles.entry(content, "data", str(path)), len(labels), 32, str(path))
        if {alphabetical[label] for label in np.unique(labels) if 0 <= label < 100} != set(split.part(part)):
            raise InputError(f"{path}: its labels are not CIFAR-100's numbers of the {part} classes of FC100")
        for row, label in enumerate(labels):
            name = alphabetical[label]
            yield Record(name, f"{name}/{row:05d}", pixels[row])
