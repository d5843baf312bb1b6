"""Stanford Online Products: 120,053 photographs of 22,634 products on eBay (Song et al., CVPR 2016)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from fewshot.data.file_tree import FileTree, open_tree
from fewshot.data.image_lists import check_listed, check_there, read_rows
from fewshot.data.source import ClassSplit, Record, Source
from fewshot.data.sources.imagenet_folders import IMAGENET_MEAN, IMAGENET_STD
from fewshot.errors import InputError

CLASSES = {"train": 11_318, "test": 11_316}
_LISTS = {"train": "Ebay_train.txt", "test": "Ebay_test.txt"}
_COLUMNS = ("image_id", "class_id", "super_class_id", "path")
_TOP = "Stanford_Online_Products"
_ARCHIVES = tuple(f"{_TOP}{suffix}" for suffix in (".zip", ".tar.gz", ".tgz", ".tar"))


@dataclass(frozen=True, kw_only=True)
class SOP(Source):
    """Stanford Online Products; a class is a product, "train/00001" after its list and its number there.

    The only split, `retrieval`, is the owners': 11,318 classes with 59,551 images to train on, 11,316
    others with 60,502 to test, no val.
    """

    name: ClassVar[str] = "sop"
    title: ClassVar[str] = "Stanford Online Products"
    terms: ClassVar[str] = "research use, the photographs are eBay sellers'; cite Song et al., CVPR 2016"
    needs: ClassVar[str] = (
        "Stanford_Online_Products.zip from https://cvgl.stanford.edu/projects/lifted_struct, as it is or "
        "extracted (Stanford_Online_Products/: Ebay_train.txt, Ebay_test.txt, bicycle_final/*.JPG, ...)"
    )
    splits: ClassVar[tuple[str, ...]] = ("retrieval",)

    size: int = 224
    resize: int | None = 256
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    residency: str = "memmap"

    def find(self, folder: Path) -> str | None:
        if _extracted(folder) is not None:
            return "extracted"
        return next((name for name in _ARCHIVES if (folder / name).is_file()), None)

    def records(self, folder: Path) -> Iterator[Record]:
        tree, prefix = _open(folder)
        classes = _classes(tree, prefix)
        check_there(classes, tree.names, str(tree.root))
        # In the order of the pack, which is then not sorted afterwards: it has 18 GB at 224 px.
        order = sorted(classes, key=lambda member: (classes[member], member))
        for member, content in tree.read_all(order):
            yield Record(classes[member], member.removeprefix(prefix), content)

    def class_split(self, class_names: Sequence[str]) -> ClassSplit:
        parts = {part: tuple(name for name in class_names if name.startswith(f"{part}/")) for part in CLASSES}
        for part, count in CLASSES.items():
            if len(parts[part]) != count:
                raise InputError(
                    f"data=sop: the image set has {len(parts[part]):,} {part} classes, not {count:,}; "
                    "complete the original files and prepare the set again"
                )
        return ClassSplit(**parts)


def _extracted(folder: Path) -> Path | None:
    """The folder that holds one of the lists, or the first folder of images."""
    names = (*_LISTS.values(), "bicycle_final")
    places = (folder / _TOP, folder)
    return next((place for place in places if any((place / name).exists() for name in names)), None)


def _open(folder: Path) -> tuple[FileTree, str]:
    """The tree and the prefix of the lists in it."""
    place = _extracted(folder)
    if place is not None:
        return open_tree(place), ""
    tree = open_tree(next(folder / name for name in _ARCHIVES if (folder / name).is_file()))
    lists = [name for name in tree.names if name.split("/")[-1] in _LISTS.values()]
    if not lists:
        raise InputError(
            f"{tree.root}: holds no Ebay_train.txt; it is not {SOP.title} or is cut off, get it again"
        )
    shortest = min(lists, key=len)
    return tree, shortest[: shortest.rfind("/") + 1]


def _classes(tree: FileTree, prefix: str) -> dict[str, str]:
    """Class name of each listed image, by its name in the tree."""
    rows = []
    for part, file in _LISTS.items():
        if prefix + file not in tree.names:
            raise InputError(f"{tree.root}: {file} is missing; get the archive again")
        lines = tree.read(prefix + file).decode("utf-8", "replace").splitlines()
        for _, product, _, path in read_rows(lines, _COLUMNS, f"{tree.root}: {file}"):
            if not product.isdecimal():
                raise InputError(f"{tree.root}: {file} has class_id {product!r}, no number; get it again")
            rows.append((prefix + path, f"{int(product):05d}", part))
    check_listed(rows, str(tree.root))
    return {member: f"{part}/{product}" for member, product, part in rows}
