"""CUB-200-2011: 11,788 photographs of 200 bird species, with bounding boxes (Wah et al. 2011)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fewshot.data.class_lists import class_list, divide
from fewshot.data.decoding import decode
from fewshot.data.file_tree import FileTree, open_tree
from fewshot.data.seeded_split import check_complete, halves
from fewshot.data.source import ClassSplit, Record, Source
from fewshot.data.sources.imagenet_folders import IMAGENET_MEAN, IMAGENET_STD
from fewshot.errors import InputError

CLASSES = 200
CROPS = ("full", "box")
_ARCHIVES = ("CUB_200_2011.tgz", "CUB_200_2011.tar.gz", "CUB_200_2011.tar", "CUB_200_2011.zip")
_FOLDERS = ("CUB_200_2011", ".")
_LISTS = {
    "closerlook": "cub_closerlook",
    "torchmeta": "cub_closerlook",
    "feat": "cub_feat",
    "sicara": "cub_sicara",
}
"""torchmeta's lists name the same classes as Chen et al.; the others are other splits, not comparable."""


@dataclass(frozen=True, kw_only=True)
class CUB(Source):
    """CUB-200-2011; a class is the owner's folder, such as "001.Black_footed_Albatross".

    Splits: `closerlook` (100 / 50 / 50, Chen et al. 2019; also called `torchmeta`), `feat`
    (100 / 50 / 50, Ye et al. 2020; published with `crop=box`), `sicara` (140 / 30 / 30), and
    `retrieval` (first 100 classes / last 100, no val; Song et al. 2016).
    """

    name: ClassVar[str] = "cub"
    title: ClassVar[str] = "CUB-200-2011"
    terms: ClassVar[str] = "non-commercial research and education; cite Wah et al. 2011"
    needs: ClassVar[str] = (
        "CUB_200_2011.tgz from https://www.vision.caltech.edu/datasets/cub_200_2011, as it is or extracted "
        "(CUB_200_2011/images/, images.txt, bounding_boxes.txt)"
    )
    splits: ClassVar[tuple[str, ...]] = (*_LISTS, "retrieval")

    size: int = 84
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    crop: str = "full"
    """full: the photograph. box: the owner's bounding box of the bird, cut out before resizing."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.crop not in CROPS:
            raise InputError(f"data=cub: crop={self.crop!r} must be one of {', '.join(CROPS)}")

    @property
    def key(self) -> str:
        return super().key + ("-box" if self.crop == "box" else "")

    def find(self, folder: Path) -> str | None:
        for place in _FOLDERS:
            if (folder / place / "images").is_dir() and (folder / place / "images.txt").is_file():
                return "extracted"
        return next((name for name in _ARCHIVES if (folder / name).is_file()), None)

    def records(self, folder: Path) -> Iterator[Record]:
        tree, prefix = _open(folder)
        paths = _table(tree, prefix, "images.txt")
        numbers = {f"{prefix}images/{path}": number for number, (path,) in paths.items()}
        boxes = _table(tree, prefix, "bounding_boxes.txt", 4) if self.crop == "box" else {}
        for member, content in tree.read_all(numbers):
            name = member.removeprefix(f"{prefix}images/")
            image: bytes | NDArray[np.uint8] = content
            if self.crop == "box":
                where = f"{tree.root}: {member}"
                if numbers[member] not in boxes:
                    raise InputError(f"{tree.root}: bounding_boxes.txt has no box of {name}; get it again")
                image = _cut(decode(content, where, self.channels), boxes[numbers[member]], where)
            yield Record(name.split("/")[0], name, image)

    def class_split(self, class_names: Sequence[str]) -> ClassSplit:
        if self.split == "retrieval":
            check_complete(class_names, CLASSES, "data=cub")
            return halves(class_names)
        return divide(class_list(_LISTS[str(self.split)]), class_names, f"data=cub split={self.split}")


def _open(folder: Path) -> tuple[FileTree, str]:
    """The tree and the prefix of images.txt in it."""
    for place in _FOLDERS:
        if (folder / place / "images").is_dir():
            return open_tree(folder / place), ""
    archive = next(folder / name for name in _ARCHIVES if (folder / name).is_file())
    tree = open_tree(archive)
    tables = [name for name in tree.names if name.split("/")[-1] == "images.txt"]
    if not tables:
        raise InputError(
            f"{archive}: holds no images.txt; it is not CUB-200-2011 or is cut off, get it again"
        )
    return tree, min(tables, key=len).removesuffix("images.txt")


def _table(tree: FileTree, prefix: str, file: str, columns: int = 1) -> dict[str, list[str]]:
    """Lines "NUMBER VALUE ..." of one of the owner's text files, by number."""
    table = {}
    for line in tree.read(prefix + file).decode("utf-8", "replace").splitlines():
        if not line.strip():
            continue
        number, *values = line.split()
        if len(values) != columns:
            raise InputError(
                f"{tree.root}: {prefix}{file} has the line {line!r}, not a number and {columns} values"
            )
        table[number] = values
    return table


def _cut(pixels: NDArray[np.uint8], box: list[str], where: str) -> NDArray[np.uint8]:
    """The part of uint8 [height, width, channels] in the box x, y, width, height (pixels)."""
    try:
        x, y, width, height = (round(float(value)) for value in box)
    except (ValueError, OverflowError) as error:
        raise InputError(f"{where}: its bounding box {' '.join(box)!r} is no four numbers") from error
    part = pixels[max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)]
    if part.size == 0:
        raise InputError(f"{where}: its bounding box {' '.join(box)!r} lies outside the image")
    return part
