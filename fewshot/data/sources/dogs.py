"""Stanford Dogs: 20,580 photographs of 120 breeds, a part of ImageNet (Khosla et al. 2011)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from fewshot.data import matlab
from fewshot.data.file_tree import FileTree, open_tree
from fewshot.data.seeded_split import check_complete, halves, seeded_split
from fewshot.data.source import ClassSplit, Record, Source
from fewshot.data.sources.imagenet_folders import IMAGENET_MEAN, IMAGENET_STD
from fewshot.errors import InputError

CLASSES = (70, 20, 30)
_IMAGE = re.compile(r"(?:^|/)(n\d{8}-[^/]+)/([^/]+\.jpe?g)$", re.IGNORECASE)
_PLACES = ("Images", "images", "images.tar", "images.zip", "Images.zip")


@dataclass(frozen=True, kw_only=True)
class Dogs(Source):
    """Stanford Dogs; a class is the owner's folder, such as "n02085620-Chihuahua".

    Splits: `ours` (70 / 20 / 30 classes drawn from seed 0, since the few-shot papers that use it
    publish no list) and `retrieval` (first 60 classes / last 60, no val). Weights trained on ImageNet
    have seen these photographs.
    """

    name: ClassVar[str] = "dogs"
    title: ClassVar[str] = "Stanford Dogs"
    terms: ClassVar[str] = "ImageNet terms: non-commercial research and education; cite Khosla et al. 2011"
    needs: ClassVar[str] = (
        "images.tar (or Images/ extracted) from http://vision.stanford.edu/aditya86/ImageNetDogs; "
        "with lists.tar beside it, the images are checked to be complete"
    )
    splits: ClassVar[tuple[str, ...]] = ("ours", "retrieval")

    size: int = 84
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    def find(self, folder: Path) -> str | None:
        place = next((name for name in _PLACES if (folder / name).exists()), None)
        return "class folders" if place is not None and (folder / place).is_dir() else place

    def records(self, folder: Path) -> Iterator[Record]:
        tree = open_tree(next(folder / name for name in _PLACES if (folder / name).exists()))
        found = {name: match.groups() for name in tree.names if (match := _IMAGE.search(name))}
        if not found:
            raise InputError(
                f"{tree.root}: holds no image like Images/n02085620-Chihuahua/n02085620_10074.jpg"
            )
        there = {f"{breed}/{file}" for breed, file in found.values()}
        absent = sorted(_listed(folder) - there)
        if absent:
            raise InputError(
                f"{tree.root}: image {absent[0]!r} of the owner's list is missing ({len(absent)} are); "
                "get images.tar again"
            )
        for member, content in tree.read_all(found):
            breed, file = found[member]
            yield Record(breed, f"{breed}/{file}", content)

    def class_split(self, class_names: Sequence[str]) -> ClassSplit:
        check_complete(class_names, sum(CLASSES), "data=dogs")
        if self.split == "retrieval":
            return halves(class_names)
        return seeded_split(class_names, CLASSES, seed=0, stream="dogs")


def _listed(folder: Path) -> set[str]:
    """The files that the owner's file_list.mat names, "BREED/FILE"; none if it is not there."""
    tree: FileTree
    if (folder / "lists.tar").is_file():
        tree = open_tree(folder / "lists.tar")
    elif (folder / "file_list.mat").is_file():
        tree = open_tree(folder)
    else:
        return set()
    content = tree.read("file_list.mat")
    return set(matlab.texts(content, "file_list", str(tree.root)))
