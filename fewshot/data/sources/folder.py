"""Your own images: any folder that holds a folder of images for each class."""

from __future__ import annotations

import hashlib
import logging
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fewshot.data.class_lists import divide
from fewshot.data.image_folders import Listing, list_images, printable, read_split_file
from fewshot.data.seeded_split import seeded_split
from fewshot.data.source import PARTS, ClassSplit, Record, Source
from fewshot.data.sources.imagenet_folders import IMAGENET_MEAN, IMAGENET_STD, read_image
from fewshot.errors import InputError

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ImageFolder(Source):
    """Images in class folders below `path`; a class is the path of its folder, such as "birds/owl".

    For continual learning the class folders below train/ and test/ are taken as the same classes, and the
    images below test/ are the test images.

    Args:
        split: which classes are trained on, validated on and tested on; None is `auto`:
            auto: by the top folders train/, val/ (or valid/, validation/) and test/ if they are
                there, else as `seeded`;
            seeded: drawn from `split_seed` in the given `fractions`; train/dog and test/dog are
                then one class dog;
            FILE: a text file, in `path` or anywhere, with the lines [train], [val], [test] and
                class names, one a line, below each.
        fractions: of the classes in train, val and test; together at most 1.
        split_seed: of the drawn split.
    """

    name: ClassVar[str] = "folder"
    title: ClassVar[str] = "images of your own"
    terms: ClassVar[str] = "yours"
    needs: ClassVar[str] = "one folder of images for each class; data.path=DIR names the folder above them"
    splits: ClassVar[tuple[str, ...]] = ()

    size: int = 84
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2)
    split_seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        fractions = tuple(float(value) for value in self.fractions)
        if len(fractions) != 3 or min(fractions) < 0 or not 0 < sum(fractions) <= 1 + 1e-9:
            raise InputError(
                f"data=folder: fractions={list(fractions)} must be the shares of train, val and test, "
                "together at most 1"
            )
        object.__setattr__(self, "fractions", fractions)

    def _usual_split(self) -> str:
        # There train/ and test/ hold images of one class, which `test_images` tells apart.
        return "seeded" if self.protocol == "continual" else "auto"

    @property
    def key(self) -> str:
        """Different folders are different packs, and so are the two ways to name classes."""
        merged = "-merged" if self.split == "seeded" else ""
        if self.path is None:
            return f"{super().key}{merged}"
        path = Path(os.path.realpath(os.path.expanduser(self.path)))
        digest = hashlib.sha256(str(path).encode("utf-8", "surrogateescape")).hexdigest()[:8]
        label = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in path.name)
        return f"folder-{label or 'root'}-{digest}-{self.pixels}{merged}"

    def find(self, folder: Path) -> str | None:
        if not folder.is_dir():
            return None
        listing = list_images(folder)
        # The numbers make `data prepare` notice that images have come or gone since it was packed.
        return (
            f"{listing.images:,} images in {len(listing.classes):,} class folders" if listing.images else None
        )

    def records(self, folder: Path) -> Iterator[Record]:
        listing = list_images(folder)
        for reason, count in sorted(listing.skipped.items()):
            if count:
                _LOG.warning("%s: skipped %d files: %s", printable(str(folder)), count, reason)
        if self.split == "auto":
            _check_disjoint(listing.classes, listing.parts())
        for class_name, paths in (listing.merged() if self.split == "seeded" else listing.classes).items():
            for path in paths:
                yield Record(class_name, printable(path.relative_to(folder).as_posix()), read_image(path))

    def class_split(self, class_names: Sequence[str]) -> ClassSplit:
        where = f"data=folder split={self.split}"
        if self.split not in ("auto", "seeded"):
            return divide(ClassSplit(**read_split_file(self._split_file())), class_names, where)
        parts = Listing(Path(), {name: [] for name in class_names}).parts() if self.split == "auto" else {}
        if not parts:
            return seeded_split(class_names, self._counts(len(class_names)), self.split_seed, "folder")
        _check_disjoint(class_names, parts)
        return ClassSplit(
            **{
                part: tuple(name for name in class_names if parts[name.split("/")[0]] == part)
                for part in PARTS
            }
        )

    def test_images(self, names: Sequence[str]) -> NDArray[np.bool_] | None:
        parts = Listing(Path(), {name.rsplit("/", 1)[0]: [] for name in names}).parts()
        if "test" not in parts.values():
            return None
        return np.array([parts[name.split("/")[0]] == "test" for name in names])

    def _split_file(self) -> Path:
        file = Path(str(self.split))
        beside = Path(os.path.expanduser(self.path or ".")) / file
        return beside if os.path.isfile(beside) else Path(os.path.expanduser(file))

    def _counts(self, classes: int) -> tuple[int, int, int]:
        """Classes in each part; a part with a share has at least one class.

        Raises:
            InputError: there are fewer classes than parts.
        """
        wanted = [share * classes for share in self.fractions]
        counts = [max(math.floor(count + 1e-9), int(count > 0)) for count in wanted]
        # Largest remainder: what rounding down left over goes where most was lost.
        total = math.floor(sum(wanted) + 1e-9)
        by_loss = sorted(range(3), key=lambda part: counts[part] - wanted[part])
        for part in by_loss[: max(total - sum(counts), 0)]:
            counts[part] += 1
        while sum(counts) > classes and max(counts) > 1:
            counts[counts.index(max(counts))] -= 1
        if sum(counts) > classes:
            raise InputError(
                f"data=folder: {classes} classes cannot be divided into {sum(map(bool, wanted))} parts; "
                "add class folders or change data.fractions"
            )
        return counts[0], counts[1], counts[2]


def _check_disjoint(class_names: Sequence[str] | dict[str, list[Path]], parts: dict[str, str]) -> None:
    """Refuse folders train/dog and test/dog: such a split is of images, not of classes."""
    seen: dict[str, str] = {}
    for name in class_names if parts else ():
        top, rest = name.split("/", 1)
        if parts[seen.setdefault(rest, top)] != parts[top]:
            raise InputError(
                f"data=folder: class {rest!r} is in both {seen[rest]}/ and {top}/, but parts need different "
                "classes; data.split=seeded takes both as one class and divides the classes anew"
            )
