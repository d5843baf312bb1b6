"""The published lists of classes, one text file a split; each file says where it is from.

A file holds comment lines ("# origin"), the lines [train], [val], [test], and one class a line;
a list of images or of superclasses one class, or superclass, with what belongs to it a line.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from fewshot.data.source import PARTS, ClassSplit
from fewshot.errors import InputError


@cache
def class_list(name: str) -> ClassSplit:
    """The classes in `NAME.txt`, e.g. "miniimagenet_ravi"."""
    parts: dict[str, list[str]] = {part: [] for part in PARTS}
    part = ""
    for line in _lines(name):
        if line.startswith("["):
            part = line.strip("[]")
        else:
            parts[part].append(line)
    return ClassSplit(**{part: tuple(classes) for part, classes in parts.items()})


@cache
def image_list(name: str) -> dict[str, tuple[str, ...]]:
    """ILSVRC2012 training files of each class: "n01532829" -> ("n01532829_18.JPEG", ...)."""
    images = {}
    for line in _lines(name):
        wnid, *numbers = line.split()
        images[wnid] = tuple(f"{wnid}_{number}.JPEG" for number in numbers)
    return images


@cache
def superclass_list(name: str) -> dict[str, str]:
    """The superclass of each class in `NAME.txt`: a superclass and its classes a line."""
    lines = (line.split() for line in _lines(name))
    return {member: superclass for superclass, *members in lines for member in members}


def divide(split: ClassSplit, class_names: Sequence[str], where: str) -> ClassSplit:
    """`split` over the classes that an image set really has.

    A part none of whose classes is there becomes empty: only the files of other parts were packed.

    Args:
        split: as published.
        class_names: of the image set; classes outside the split are left alone.
        where: for the error message, e.g. "data=omniglot split=lake".

    Raises:
        InputError: a part is there incompletely, or no class of any part is there.
    """
    there = set(class_names)
    parts = {}
    for part in PARTS:
        wanted: tuple[str, ...] = getattr(split, part)
        absent = [name for name in wanted if name not in there]
        if absent and len(absent) < len(wanted):
            raise InputError(
                f"{where}: class {absent[0]!r} of the {part} part is not in the image set ({len(absent)} of "
                f"{len(wanted)} are absent); complete the original files and prepare the set again"
            )
        parts[part] = () if absent else wanted
    if not any(parts.values()):
        raise InputError(f"{where}: none of its classes is in the image set; its classes have other names")
    return ClassSplit(**parts)


def _lines(name: str) -> list[str]:
    text = files(__name__).joinpath(f"{name}.txt").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]
