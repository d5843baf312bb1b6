"""miniImageNet: 100 classes of ImageNet, 600 images each, at 84 px (Vinyals et al., NeurIPS 2016)."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from fewshot.data import pickles
from fewshot.data.class_lists import class_list, divide, image_list
from fewshot.data.source import PARTS, ClassSplit, Record, Source
from fewshot.data.sources.imagenet_folders import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    class_folders,
    image_files,
    parts_there,
    read_image,
)
from fewshot.errors import InputError


@dataclass(frozen=True, kw_only=True)
class MiniImageNet(Source):
    """miniImageNet; a class is a WordNet id.

    `split=ravi` (Ravi & Larochelle, 64 / 16 / 20 classes) is what papers since 2017 use.
    `split=vinyals` (60 / 20 / 20) has other classes, so it is another pack and needs ILSVRC2012.
    """

    name: ClassVar[str] = "miniimagenet"
    title: ClassVar[str] = "miniImageNet"
    terms: ClassVar[str] = "ImageNet terms: non-commercial research and education"
    needs: ClassVar[str] = (
        "mini-imagenet-cache-{train,val,test}.pkl, or class folders ([train|val|test]/n01532829/*.jpg), or "
        "images/ with {train,val,test}.csv, or ILSVRC2012 training folders (train/n01532829/*.JPEG, from "
        "https://image-net.org)"
    )
    splits: ClassVar[tuple[str, ...]] = ("ravi", "vinyals")

    size: int = 84
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    @property
    def key(self) -> str:
        return super().key + ("" if self.split == "ravi" else f"-{self.split}")

    def find(self, folder: Path) -> str | None:
        split = class_list(f"miniimagenet_{self.split}")
        if self.split == "ravi":
            for form, pattern in (("cache pickles", _PICKLE), ("images and CSVs", "{}.csv")):
                parts = [part for part in PARTS if (folder / pattern.format(part)).is_file()]
                if parts and (form == "cache pickles" or (folder / "images").is_dir()):
                    return form if len(parts) == len(PARTS) else f"{form} ({' and '.join(parts)} only)"
        folders = class_folders(folder, split.train + split.val + split.test)
        if not folders:
            return None
        form = "ILSVRC2012 folders" if self._is_imagenet(folders) else "class folders"
        return form + parts_there(split, folders)

    def records(self, folder: Path) -> Iterator[Record]:
        form = self.find(folder) or ""
        if form.startswith("cache pickles"):
            return _from_pickles(folder)
        if form.startswith("images and CSVs"):
            return _from_csv(folder)
        return self._from_folders(folder)

    def class_split(self, class_names: Sequence[str]) -> ClassSplit:
        split = class_list(f"miniimagenet_{self.split}")
        return divide(split, class_names, f"data=miniimagenet split={self.split}")

    def _is_imagenet(self, folders: dict[str, Path]) -> bool:
        """Whether the files have the names of ILSVRC2012, so that 600 of about 1300 must be chosen."""
        wnid, place = next(iter(folders.items()))
        return any((place / name).is_file() for name in image_list(f"miniimagenet_{self.split}_images")[wnid])

    def _from_folders(self, folder: Path) -> Iterator[Record]:
        split = class_list(f"miniimagenet_{self.split}")
        folders = class_folders(folder, split.train + split.val + split.test)
        chosen = image_list(f"miniimagenet_{self.split}_images") if self._is_imagenet(folders) else None
        for wnid, place in folders.items():
            for name in image_files(place) if chosen is None else sorted(chosen[wnid]):
                yield Record(wnid, f"{wnid}/{name}", read_image(place / name))


_PICKLE = "mini-imagenet-cache-{}.pkl"


def _from_pickles(folder: Path) -> Iterator[Record]:
    """image_data uint8 [n, 84, 84, 3] and class_dict {wnid: rows}; the files have no image names."""
    for part in PARTS:
        path = folder / _PICKLE.format(part)
        if not path.is_file():
            continue
        cache = pickles.load_path(path)
        images = pickles.entry(cache, "image_data", str(path))
        classes = pickles.entry(cache, "class_dict", str(path))
        if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.ndim != 4:
            raise InputError(f"{path}: image_data is not uint8 [n, height, width, 3]; get the file again")
        if not isinstance(classes, dict) or not all(isinstance(wnid, bytes | str) for wnid in classes):
            raise InputError(f"{path}: class_dict does not say which images each class has; get it again")
        rows_of_class = {pickles.text(key): rows for key, rows in classes.items()}
        for wnid, rows in sorted(rows_of_class.items()):
            for number, row in enumerate(pickles.as_integers(rows, f"{path}: class {wnid!r}").tolist()):
                if not 0 <= row < len(images):
                    raise InputError(f"{path}: class {wnid!r} names row {row} of {len(images)}; get it again")
                yield Record(wnid, f"{wnid}/{number:05d}", images[row])


def _from_csv(folder: Path) -> Iterator[Record]:
    for part in PARTS:
        path = folder / f"{part}.csv"
        if not path.is_file():
            continue
        try:
            with path.open(newline="", encoding="utf-8") as file:
                rows = [row[:2] for row in csv.reader(file) if len(row) >= 2]
        except (OSError, ValueError, csv.Error) as error:
            raise InputError(f"{path}: cannot be read as CSV ({error}); get it again") from error
        if not rows or rows[0] != ["filename", "label"]:
            raise InputError(f"{path}: its first line must be 'filename,label'")
        for name, wnid in rows[1:]:
            yield Record(wnid, f"{wnid}/{name}", read_image(folder / "images" / name))
