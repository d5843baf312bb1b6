"""Where the classes of an ImageNet subset lie in a folder: one folder a WordNet id."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from fewshot.data.source import PARTS, ClassSplit
from fewshot.errors import InputError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

WNID = re.compile(r"n\d{8}")

_PLACES = ("ILSVRC/Data/CLS-LOC/train", "ILSVRC2012/train", "train", "val", "test", "images", ".")
"""ILSVRC2012's training images come before its validation images, which some keep in class folders too."""

_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


def class_folders(folder: Path, wnids: Iterable[str]) -> dict[str, Path]:
    """The folder of each class that is there, by WordNet id, sorted."""
    places = [folder / place for place in _PLACES if (folder / place).is_dir()]
    found = {}
    for wnid in sorted(wnids):
        first = next((place / wnid for place in places if (place / wnid).is_dir()), None)
        if first is not None:
            found[wnid] = first
    return found


def image_files(folder: Path) -> list[str]:
    """Names of the image files directly in the folder of a class, sorted.

    Raises:
        InputError: it has none, or cannot be read.
    """
    try:
        entries = [entry.name for entry in folder.iterdir()]
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror})") from error
    names = sorted(name for name in entries if name.lower().endswith(_SUFFIXES) and not name.startswith("."))
    if not names:
        raise InputError(f"{folder}: this class has no images; complete it or remove the folder")
    return names


def read_image(path: Path) -> bytes:
    """The content of a file.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        raise InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error


def parts_there(split: ClassSplit, there: Iterable[str]) -> str:
    """ " (train and val only)" if a part of the split has no class there, else nothing."""
    found = set(there)
    parts = [part for part in PARTS if found.intersection(getattr(split, part))]
    return "" if len(parts) == len(PARTS) else f" ({' and '.join(parts)} only)"
