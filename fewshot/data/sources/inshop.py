"""In-Shop: 52,712 photographs of 7,982 clothes, a benchmark of DeepFashion (Liu et al., CVPR 2016)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fewshot.data.file_tree import FileTree, open_tree
from fewshot.data.image_lists import check_listed, check_there, read_rows
from fewshot.data.source import ClassSplit, Record, Source
from fewshot.data.sources.imagenet_folders import IMAGENET_MEAN, IMAGENET_STD
from fewshot.errors import InputError

_PART_OF = {"train": "train", "query": "test", "gallery": "test"}
_COLUMNS = ("image_name", "item_id", "evaluation_status")
_LIST = "list_eval_partition.txt"
_TOPS = (".", "In-shop Clothes Retrieval Benchmark", "In-shop")
"""The owner's folder, as it is downloaded and as people call it."""
_LISTS = (_LIST, f"Eval/{_LIST}", f"Anno/{_LIST}")
_IMAGES = ("img", "Img/img", "img.zip", "Img/img.zip")
_ARCHIVES = ("In-shop.zip", "In-shop Clothes Retrieval Benchmark.zip")


@dataclass(frozen=True, kw_only=True)
class InShop(Source):
    """In-shop Clothes Retrieval; a class is an item, "train/id_00000002" or "test/id_00000001".

    The only split, `retrieval`, is the owners': 3,997 items with 25,882 images to train on, 3,985
    others to test, whose 14,218 query images search 12,612 gallery images; no val. An image is named
    "query/WOMEN/Dresses/id_00000002/02_1_front.jpg" after its status and its path: some items lie in
    two categories.
    """

    name: ClassVar[str] = "inshop"
    title: ClassVar[str] = "In-shop Clothes Retrieval (DeepFashion)"
    terms: ClassVar[str] = "non-commercial research and education; cite Liu et al., CVPR 2016"
    needs: ClassVar[str] = (
        "list_eval_partition.txt and img.zip (or img/ extracted), side by side or in Eval/ and Img/, from "
        "https://mmlab.ie.cuhk.edu.hk/projects/DeepFashion/InShopRetrieval.html; or all in one In-shop.zip"
    )
    splits: ClassVar[tuple[str, ...]] = ("retrieval",)

    size: int = 224
    resize: int | None = 256
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    residency: str = "memmap"

    def find(self, folder: Path) -> str | None:
        place = _images(folder)
        if place is None:
            return None
        return "extracted" if place.is_dir() else place.name

    def records(self, folder: Path) -> Iterator[Record]:
        place = _images(folder)
        assert place is not None, folder
        tree = open_tree(place)
        statuses = _statuses(*_list(folder, tree))
        members = {_below_img(member): member for member in tree.names}
        check_there(statuses, members, str(place))
        classes = {path: f"{_PART_OF[status]}/{item}" for path, (item, status) in statuses.items()}
        # In the order of the pack, which is then not sorted afterwards: it has 8 GB at 224 px.
        order = sorted(classes, key=lambda path: (classes[path], f"{statuses[path][1]}/{path}"))
        for member, content in tree.read_all(members[path] for path in order):
            path = _below_img(member)
            yield Record(classes[path], f"{statuses[path][1]}/{path}", content)

    def class_split(self, class_names: Sequence[str]) -> ClassSplit:
        parts = {
            part: tuple(name for name in class_names if name.startswith(f"{part}/"))
            for part in _PART_OF.values()
        }
        return ClassSplit(**parts)

    def query_gallery(self, names: Sequence[str]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
        """As `Source.query_gallery`; None if none of the images is of the test part."""
        statuses = np.array([name.split("/")[0] for name in names], dtype=str)
        query, gallery = statuses == "query", statuses == "gallery"
        return (query, gallery) if query.any() or gallery.any() else None


def _first(folder: Path, names: Sequence[str]) -> Path | None:
    places = (folder / top / name for top in _TOPS for name in names)
    return next((place for place in places if place.exists()), None)


def _images(folder: Path) -> Path | None:
    """The folder or archive that holds the images."""
    return _first(folder, _IMAGES) or next(
        (folder / name for name in _ARCHIVES if (folder / name).is_file()), None
    )


def _below_img(member: str) -> str:
    """ "Img/img/WOMEN/x.jpg", "img/WOMEN/x.jpg" and "WOMEN/x.jpg" of the folder itself are one image."""
    return f"/{member}".rpartition("/img/")[2].removeprefix("/")


def _list(folder: Path, tree: FileTree) -> tuple[bytes, str]:
    """The content of the list and where it is: beside the images, or in one archive with them."""
    path = _first(folder, _LISTS)
    if path is not None:
        return open_tree(path.parent).read(_LIST), str(path)
    member = next((name for name in tree.names if name.split("/")[-1] == _LIST), None)
    if member is None:
        raise InputError(f"{folder}: {_LIST} is missing; get it too, the owner has it in the folder Eval")
    return tree.read(member), f"{tree.root}: {member}"


def _statuses(content: bytes, where: str) -> dict[str, tuple[str, str]]:
    """Item and status of each listed image, by its path below img/."""
    count, *lines = content.decode("utf-8", "replace").splitlines() or [""]
    rows = read_rows(lines, _COLUMNS, where)
    if not count.strip().isdecimal() or int(count) != len(rows):
        raise InputError(
            f"{where}: its first line says {count[:80]!r} images, {len(rows):,} follow; it is cut off or "
            "changed, get it again"
        )
    wrong = next((row for row in rows if row[2] not in _PART_OF), None)
    if wrong is not None:
        raise InputError(
            f"{where}: {wrong[0]} has the status {wrong[2]!r}, not one of {', '.join(_PART_OF)}; get it again"
        )
    check_listed([(path, item, _PART_OF[status]) for path, item, status in rows], where)
    return {_below_img(path): (item, status) for path, item, status in rows}
