"""tieredImageNet: 608 classes of ImageNet in 34 super-categories, at 84 px (Ren et al., ICLR 2018)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from fewshot.data import pickles
from fewshot.data.class_lists import class_list, divide
from fewshot.data.source import PARTS, ClassSplit, Record, Source
from fewshot.data.sources.imagenet_folders import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    WNID,
    class_folders,
    image_files,
    parts_there,
    read_image,
)
from fewshot.errors import InputError

_PNGS = "{}_images_png.pkl"
_LABELS = "{}_labels.pkl"
_NAMED_BY_PART = re.compile(r"(train|val|test)/\d{3}-")


@dataclass(frozen=True, kw_only=True)
class TieredImageNet(Source):
    """tieredImageNet; a class is a WordNet id.

    Where the label pickles name classes by words, a class is "PART/NNN-WORDS" after its number
    in that part, since the same words can mean two classes of ImageNet ("crane").
    """

    name: ClassVar[str] = "tieredimagenet"
    title: ClassVar[str] = "tieredImageNet"
    terms: ClassVar[str] = "ImageNet terms: non-commercial research and education"
    needs: ClassVar[str] = (
        "{train,val,test}_images_png.pkl with {train,val,test}_labels.pkl (linked from "
        "https://github.com/renmengye/few-shot-ssl-public), or ILSVRC2012 training folders "
        "(train/n01440764/*.JPEG, from https://image-net.org), or [train|val|test]/WNID/*.jpg"
    )
    splits: ClassVar[tuple[str, ...]] = ("ren",)

    size: int = 84
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    residency: str = "memmap"

    def find(self, folder: Path) -> str | None:
        parts = [part for part in PARTS if (folder / _PNGS.format(part)).is_file()]
        if parts:
            return "PNG pickles" if len(parts) == len(PARTS) else f"PNG pickles ({' and '.join(parts)} only)"
        split = class_list("tieredimagenet_ren")
        folders = class_folders(folder, split.train + split.val + split.test)
        return f"class folders{parts_there(split, folders)}" if folders else None

    def records(self, folder: Path) -> Iterator[Record]:
        if any((folder / _PNGS.format(part)).is_file() for part in PARTS):
            yield from _from_pickles(folder)
            return
        split = class_list("tieredimagenet_ren")
        for wnid, place in class_folders(folder, split.train + split.val + split.test).items():
            for name in image_files(place):
                yield Record(wnid, f"{wnid}/{name}", read_image(place / name))

    def class_split(self, class_names: Sequence[str]) -> ClassSplit:
        if class_names and all(_NAMED_BY_PART.match(name) for name in class_names):
            by_part = (tuple(name for name in class_names if name.startswith(f"{part}/")) for part in PARTS)
            return ClassSplit(*by_part)
        return divide(class_list("tieredimagenet_ren"), class_names, "data=tieredimagenet split=ren")


def _from_pickles(folder: Path) -> Iterator[Record]:
    """A list of PNG files, and label_specific int [n] into the list label_specific_str."""
    for part in PARTS:
        path, labels_path = folder / _PNGS.format(part), folder / _LABELS.format(part)
        if not path.is_file():
            continue
        content = pickles.load_path(labels_path)
        labels = pickles.integers(content, "label_specific", str(labels_path))
        classes = pickles.texts(content, "label_specific_str", str(labels_path))
        if not all(WNID.fullmatch(name) for name in classes):
            classes = [f"{part}/{number:03d}-{name}" for number, name in enumerate(classes)]
        pngs = pickles.load_path(path)
        if not isinstance(pngs, list) or not all(_is_file(png) for png in pngs):
            raise InputError(f"{path}: is not a list of PNG files; get it again")
        if len(pngs) != len(labels):
            raise InputError(f"{path}: has {len(pngs)} images for {len(labels)} labels; get both files again")
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
            raise InputError(f"{labels_path}: has labels outside its {len(classes)} classes; get it again")
        for row in np.argsort(labels, kind="stable"):
            name = classes[labels[row]]
            yield Record(name, f"{name}/{row:06d}", pngs[row].tobytes())


def _is_file(png: object) -> bool:
    return isinstance(png, np.ndarray) and png.dtype == np.uint8
