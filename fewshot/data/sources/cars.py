"""Stanford Cars: 16,185 photographs of 196 models (Krause et al. 2013)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from fewshot.data import matlab
from fewshot.data.file_tree import FileTree, open_tree
from fewshot.data.seeded_split import check_complete, halves, seeded_split
from fewshot.data.source import ClassSplit, Record, Source
from fewshot.data.sources.imagenet_folders import IMAGENET_MEAN, IMAGENET_STD
from fewshot.errors import InputError

CLASSES = (130, 17, 49)
_ARCHIVES = ("car_ims.tgz", "cars_train.tgz", "cars_test.tgz", "car_devkit.tgz")
_HALVES = ("cars_train", "cars_test")


@dataclass(frozen=True, kw_only=True)
class Cars(Source):
    """Stanford Cars; a class is the owner's number and name, such as "001 AM General Hummer SUV 2000".

    Splits: `ours` (130 / 17 / 49 classes drawn from seed 0, the sizes that few-shot papers use
    without publishing their lists) and `retrieval` (first 98 classes / last 98, no val; Song et al.
    2016). Either half of the images alone has all classes and will do.
    """

    name: ClassVar[str] = "cars"
    title: ClassVar[str] = "Stanford Cars"
    terms: ClassVar[str] = "research only; cite Krause et al. 2013"
    needs: ClassVar[str] = (
        "car_ims.tgz and cars_annos.mat, or cars_train/ and cars_test/ with devkit/ (cars_meta.mat, and "
        "cars_train_annos.mat or train_perfect_preds.txt, cars_test_annos_withlabels.mat), or a zip of these"
    )
    splits: ClassVar[tuple[str, ...]] = ("ours", "retrieval")

    size: int = 84
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    def find(self, folder: Path) -> str | None:
        return (" and ".join(_Files(folder).ready) or None) if folder.is_dir() else None

    def records(self, folder: Path) -> Iterator[Record]:
        files = _Files(folder)
        labels = files.labels()
        for tree in files.trees:
            # The same image in an archive and extracted beside it, or twice in one, is taken once.
            first: dict[str, str] = {}
            for member in tree.names:
                name = "/".join(member.split("/")[-2:])
                if name in labels:
                    first.setdefault(name, member)
            wanted = {member: name for name, member in first.items()}
            for member, content in tree.read_all(wanted):
                name = wanted[member]
                yield Record(labels.pop(name), name, content)
        if labels:
            missing = min(labels)
            raise InputError(
                f"{folder}: {len(labels)} annotated images are missing, first {missing}; get them again"
            )

    def class_split(self, class_names: Sequence[str]) -> ClassSplit:
        check_complete(class_names, sum(CLASSES), "data=cars")
        if self.split == "retrieval":
            return halves(class_names)
        return seeded_split(class_names, CLASSES, seed=0, stream="cars")


class _Files:
    """The owner's files in a folder and in the archives directly in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        zips = sorted(folder.glob("*.zip"))
        tars = [folder / name for name in _ARCHIVES if (folder / name).is_file()]
        self.trees: list[FileTree] = [open_tree(path) for path in (folder, *zips, *tars)]

    @cached_property
    def ready(self) -> tuple[str, ...]:
        """Which folders of images are there with their labels: car_ims, or one or both halves."""
        if self._has_images("car_ims") and self._locate("cars_annos.mat"):
            return ("car_ims",)
        if not self._locate("cars_meta.mat"):
            return ()
        return tuple(half for half in _HALVES if self._has_images(half) and self._annotation(half))

    def labels(self) -> dict[str, str]:
        """Class name of each image, by its last folder and file: "cars_train/00001.jpg"."""
        if not self.ready:
            raise InputError(f"{self.folder}: needs {Cars.needs}")
        if self.ready == ("car_ims",):
            names = self._class_names("cars_annos.mat")
            return self._named(*self._annotations("cars_annos.mat", "relative_im_path"), names)
        names = self._class_names("cars_meta.mat")
        labels: dict[str, str] = {}
        for half in self.ready:
            file = self._annotation(half)
            if file.endswith(".txt"):
                numbers = self._numbers(file)
                images = [f"{half}/{row:05d}.jpg" for row in range(1, len(numbers) + 1)]
            else:
                files, numbers = self._annotations(file, "fname")
                images = [f"{half}/{name}" for name in files]
            labels |= self._named(images, numbers, names)
        return labels

    def _named(self, images: Sequence[str], numbers: Sequence[int], names: list[str]) -> dict[str, str]:
        wrong = [number for number in numbers if not 1 <= number <= len(names)]
        if wrong:
            raise InputError(
                f"{self.folder}: the annotations have class {wrong[0]} of {len(names)}; get them again"
            )
        return {image: names[number - 1] for image, number in zip(images, numbers, strict=True)}

    def _annotation(self, half: str) -> str:
        """The file that labels the images of a half; "" if there is none.

        The owner's cars_test_annos.mat has no labels; those came out later, as another file.
        """
        files = {
            "cars_train": ("cars_train_annos.mat", "train_perfect_preds.txt"),
            "cars_test": ("cars_test_annos_withlabels.mat",),
        }
        return next((file for file in files[half] if self._locate(file)), "")

    def _has_images(self, name: str) -> bool:
        """Without listing a compressed tar, which takes as long as unpacking it."""
        if (self.folder / f"{name}.tgz").is_file():
            return True
        return any(f"/{name}/" in f"/{member}" for tree in self._listed for member in tree.names)

    @cached_property
    def _listed(self) -> list[FileTree]:
        return [tree for tree in self.trees if tree.root.name not in _ARCHIVES or "devkit" in tree.root.name]

    def _locate(self, file: str) -> tuple[FileTree, str] | None:
        for tree in self._listed:
            members = [name for name in tree.names if name.split("/")[-1] == file]
            if members:
                return tree, min(members, key=len)
        return None

    def _read(self, file: str) -> bytes:
        located = self._locate(file)
        assert located is not None, file
        return located[0].read(located[1])

    def _numbers(self, file: str) -> list[int]:
        try:
            return [int(word) for word in self._read(file).split()]
        except ValueError as error:
            raise InputError(
                f"{self.folder}: {file} must hold one class number a line; get it again"
            ) from error

    def _class_names(self, file: str) -> list[str]:
        names = matlab.texts(self._read(file), "class_names", f"{self.folder}: {file}")
        return [f"{number:03d} {name}" for number, name in enumerate(names, start=1)]

    def _annotations(self, file: str, field: str) -> tuple[list[str], list[int]]:
        """The images, by that field, and their classes."""
        columns = {field: str, "class": int}
        found = matlab.table(self._read(file), "annotations", columns, f"{self.folder}: {file}")
        return found[field], found["class"]
