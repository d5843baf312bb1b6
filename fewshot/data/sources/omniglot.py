"""Omniglot: 1623 handwritten characters of 50 alphabets, 20 drawings each (Lake et al., Science 2015)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from fewshot.data.class_lists import class_list, divide
from fewshot.data.decoding import decode
from fewshot.data.file_tree import FileTree, open_tree
from fewshot.data.source import ClassSplit, Download, Record, Source

_DRAWING = re.compile(r"(?:^|/)([^/]+)/(character\d+)/([^/]+\.png)$")
_PARTS = ("images_background", "images_evaluation")
_PLACES = (".", "python", "omniglot-py")
"""Where the parts lie in the owner's repository and in torchvision's folder."""


@dataclass(frozen=True, kw_only=True)
class Omniglot(Source):
    """Omniglot in the two usual splits by character.

    A class is "ALPHABET/characterNN"; with `rotations`, "ALPHABET/characterNN/rot090" and so on:
    each character turned by 0, 90, 180 and 270 degrees counter-clockwise is four classes
    (Santoro et al. 2016), in every part of the split. The drawings are black on white; they are
    packed with ink 255 on paper 0, so that zero padding continues the paper.
    """

    name: ClassVar[str] = "omniglot"
    title: ClassVar[str] = "Omniglot"
    terms: ClassVar[str] = "MIT; cite Lake, Salakhutdinov & Tenenbaum, Science 2015"
    needs: ClassVar[str] = (
        "images_background.zip and images_evaluation.zip (or both extracted) "
        "from https://github.com/brendenlake/omniglot, folder python"
    )
    ink: ClassVar[bool] = True
    splits: ClassVar[tuple[str, ...]] = ("vinyals", "lake")
    downloads: ClassVar[tuple[Download, ...]] = (
        Download(
            "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/images_background.zip",
            "images_background.zip",
            "68d2efa1b9178cc56df9314c21c6e718",
        ),
        Download(
            "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/images_evaluation.zip",
            "images_evaluation.zip",
            "6b91aef0f799c5bb55b94e3f2daec811",
        ),
    )

    size: int = 28
    channels: int = 1
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    rotations: bool = True

    @property
    def key(self) -> str:
        return super().key + ("-rotations" if self.rotations else "")

    def find(self, folder: Path) -> str | None:
        trees = _parts(folder)
        if not trees:
            return None
        form = "folders" if all(tree.root.is_dir() for tree in trees.values()) else "zips"
        return form if len(trees) == len(_PARTS) else f"{form}, {next(iter(trees))} only"

    def records(self, folder: Path) -> Iterator[Record]:
        for tree in _parts(folder).values():
            found = {name: match.groups() for name in tree.names if (match := _DRAWING.search(name))}
            for name, content in tree.read_all(found):
                alphabet, character, file = found[name]
                ink = 255 - decode(content, f"{tree.root}: {name}", self.channels)
                character = f"{alphabet}/{character}"
                if not self.rotations:
                    yield Record(character, f"{character}/{file}", ink)
                    continue
                for quarter in range(4):
                    turned = f"{character}/rot{90 * quarter:03d}"
                    yield Record(turned, f"{turned}/{file}", np.ascontiguousarray(np.rot90(ink, quarter)))

    def class_split(self, class_names: Sequence[str]) -> ClassSplit:
        split = class_list(f"omniglot_{self.split}")
        if self.rotations:
            split = ClassSplit(*(_turned(part) for part in (split.train, split.val, split.test)))
        return divide(split, class_names, f"data=omniglot split={self.split}")

    def superclasses(self, class_names: Sequence[str]) -> tuple[str, ...] | None:
        """Alphabets; a turned character stays in its own."""
        return tuple(name.split("/", 1)[0] for name in class_names)


def _parts(folder: Path) -> dict[str, FileTree]:
    found = {}
    for part in _PARTS:
        places = [folder / place / name for place in _PLACES for name in (part, f"{part}.zip")]
        first = next((place for place in places if place.exists()), None)
        if first is not None:
            found[part] = open_tree(first)
    return found


def _turned(characters: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{character}/rot{degrees:03d}" for character in characters for degrees in (0, 90, 180, 270))
