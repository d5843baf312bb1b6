"""What a source of images is: where its files lie, how they become pixels, how its classes are split.

One module in `sources/` describes one published data set. It reads the files that its owners
publish, in every form in which people have them, and yields records; `packing` turns the records
into the array that training reads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fewshot.errors import InputError

PARTS = ("train", "val", "test")
PROTOCOLS = ("few_shot", "retrieval", "continual")
FITS = ("cover", "squash")
RESIDENCIES = ("memmap", "ram", "device")


class Record(NamedTuple):
    """One image of a source, as its owner stores it."""

    class_name: str
    name: str
    """Stable name in the set, without the root folder: "n01532829/n0153282900000005.jpg"."""
    image: bytes | NDArray[np.uint8]
    """An encoded file, or uint8 [height, width, channels]."""


class Download(NamedTuple):
    """A plain file that the owner of a data set serves."""

    url: str
    file: str
    """Its name in the folder of the source."""
    checksum: str
    """Hexadecimal: 64 digits are a SHA-256, 32 an MD5."""
    bytes: int | None = None


@dataclass(frozen=True)
class ClassSplit:
    """Classes to train on, to choose models by and to report on; no class is in two of them.

    A part is empty where the set has none, or where its files were not there when it was packed.
    """

    train: tuple[str, ...] = ()
    val: tuple[str, ...] = ()
    test: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        seen: dict[str, str] = {}
        for part in PARTS:
            for name in getattr(self, part):
                if name in seen:
                    places = f"twice in {part}" if seen[name] == part else f"in both {seen[name]} and {part}"
                    raise InputError(f"class split: class {name!r} is {places}; the parts must be disjoint")
                seen[name] = part

    def part(self, name: str) -> tuple[str, ...]:
        """The classes of "train", "val" or "test".

        Raises:
            InputError: there is no such part, or it has no class.
        """
        if name not in PARTS:
            raise InputError(f"class split: there is no part {name!r}; choose one of {', '.join(PARTS)}")
        classes: tuple[str, ...] = getattr(self, name)
        if not classes:
            raise InputError(
                f"class split: the {name} part has no classes; the set has none, or the files of that part "
                "were missing when it was packed (add them and run `python -m fewshot data prepare NAME`)"
            )
        return classes


@dataclass(frozen=True, kw_only=True)
class Source(ABC):
    """A published data set, read from the files of its owner.

    The class variables describe the data set; the fields are what a user may choose in
    `conf/data/NAME.yaml`. `size`, `channels`, `resize` and `fit` change the pixels and so the pack;
    `mean`, `std` (in units of [0, 1]), `split` and `residency` do not, and need no new pack.

    The same images are divided otherwise for few-shot learning than for retrieval. `protocol` comes
    from the recipe, not from the YAML, and decides what `split=None` means. Continual learning takes all
    classes, whatever the split, and divides the images of each (`test_images`).
    """

    name: ClassVar[str]
    title: ClassVar[str]
    terms: ClassVar[str]
    needs: ClassVar[str]
    """One line: which files, where they come from, how they must lie."""
    splits: ClassVar[tuple[str, ...]]
    """The values that `split` may take, first the one that few-shot papers use; empty if the source
    checks it itself. One that is called like a protocol is what papers of that protocol use."""
    images: ClassVar[str] = ""
    """Name of the set of images, if several sources divide the same images; else `name`."""
    downloads: ClassVar[tuple[Download, ...]] = ()
    ink: ClassVar[bool] = False
    """Whether it holds light ink on black, where people's own files are dark ink on white paper."""

    size: int
    channels: int = 3
    resize: int | None = None
    """Short side in pixels before the centre crop to `size`; None: `size`."""
    fit: str = "cover"
    """cover: short side to `resize`, centre crop. squash: straight to size x size."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    split: str | None = None
    """None: the split that papers use for `protocol`. Of a source that is built it is always a name."""
    protocol: str = field(default="few_shot", compare=False)
    path: str | None = None
    """Folder of the original files; None: ROOT/NAME."""
    residency: str = "ram"
    """Where the pixels live while in use: memmap, ram or device."""

    def __post_init__(self) -> None:
        where = f"data={self.name}"
        object.__setattr__(self, "mean", tuple(float(value) for value in self.mean))
        object.__setattr__(self, "std", tuple(float(value) for value in self.std))
        if self.size < 1:
            raise InputError(f"{where}: size={self.size} must be at least 1 pixel")
        if self.channels not in (1, 3):
            raise InputError(f"{where}: channels={self.channels} must be 1 (gray) or 3 (RGB)")
        if self.resize is not None and self.resize < self.size:
            raise InputError(f"{where}: resize={self.resize} must not be smaller than size={self.size}")
        if self.fit not in FITS:
            raise InputError(f"{where}: fit={self.fit!r} must be one of {', '.join(FITS)}")
        if self.residency not in RESIDENCIES:
            raise InputError(f"{where}: residency={self.residency!r} must be one of {', '.join(RESIDENCIES)}")
        for key, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.channels:
                raise InputError(f"{where}: {key} has {len(values)} numbers for {self.channels} channels")
        if min(self.std) <= 0:
            raise InputError(f"{where}: std={list(self.std)} must be above zero")
        if self.protocol not in PROTOCOLS:
            raise InputError(f"{where}: protocol={self.protocol!r} must be one of {', '.join(PROTOCOLS)}")
        if self.split is None:
            object.__setattr__(self, "split", self._usual_split())
        if self.splits and self.split not in self.splits:
            raise InputError(f"{where}: split={self.split!r} must be one of {', '.join(self.splits)}")

    def _usual_split(self) -> str:
        return self.protocol if self.protocol in self.splits else self.splits[0]

    @property
    def pixels(self) -> str:
        """What `size`, `channels`, `resize` and `fit` make of an image: the tail of a pack's key."""
        text = f"{self.size}px-{'gray' if self.channels == 1 else 'rgb'}"
        if self.fit == "squash":
            return f"{text}-squash"
        if self.resize not in (None, self.size):
            text += f"-resize{self.resize}"
        return text

    @property
    def key(self) -> str:
        """Name of the pack: sources and configurations that pack the same pixels share it."""
        return f"{self.images or self.name}-{self.pixels}"

    @abstractmethod
    def find(self, folder: Path) -> str | None:
        """Which form of the data set lies in `folder` ("class folders", ...); None if none does.

        `folder` need not exist.
        """

    @abstractmethod
    def records(self, folder: Path) -> Iterator[Record]:
        """Every image of every class, in an order that depends on the files alone.

        Packing sorts by class and name, so the order need not be sorted; it is cheaper if it is.

        Raises:
            InputError: a file is damaged or missing; the text names it.
        """

    @abstractmethod
    def class_split(self, class_names: Sequence[str]) -> ClassSplit:
        """`split` over the classes of a packed set.

        Raises:
            InputError: a class of the split is not in the set, though others of its part are.
        """

    def superclasses(self, class_names: Sequence[str]) -> tuple[str, ...] | None:
        """The superclass that the owner puts each of these classes in; None: the set has none."""
        return None

    def query_gallery(self, names: Sequence[str]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
        """Which images search and which are searched, where the owner divides the test images so.

        Args:
            names: [n], of the evaluated images, as `records` gave them.

        Returns:
            query and gallery, bool [n] each; None: every image searches all the others.
        """
        return None

    def test_images(self, names: Sequence[str]) -> NDArray[np.bool_] | None:
        """Which images the owner keeps for testing, where training and test images are of the same classes.

        Args:
            names: [n], of the images of a packed set, as `records` gave them.

        Returns:
            bool [n]; None: the owner says nothing, or the packed form does not.
        """
        return None
