"""What a user gives to be labelled: class folders as the support, and whatever names images as the query."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fewshot.data.image_folders import SUFFIXES, is_image, list_images, printable, walk
from fewshot.errors import InputError

_ENDINGS = f"{', '.join(SUFFIXES[:4])}, ..."


@dataclass(frozen=True)
class Found:
    """Images that were found.

    Attributes:
        paths: of the files, in the order in which they are labelled.
        classes: of a support the name of each file's class; of a query empty.
        left_out: files whose names do not end like an image's, or of a support lie in no class folder.
    """

    paths: tuple[Path, ...]
    classes: tuple[str, ...]
    left_out: tuple[Path, ...]


def find_support(folder: str) -> Found:
    """The images of the class folders below `folder`; a class is the path of its folder ("birds/owl").

    Raises:
        InputError: no folder, one that cannot be read or holds no images, or a class folder without images.
    """
    root = Path(os.path.expanduser(folder))
    if not os.path.isdir(root):
        raise InputError(f"support={folder} is not a folder; give one that holds a folder of images a class")
    listing = list_images(root)
    if not listing.classes:
        loose = [file for file in listing.left_out if is_image(file)]
        why = "its images lie in no class folder" if loose else f"no files end in {_ENDINGS}"
        raise InputError(
            f"support={folder} holds no class: {why}; put the images of each class into a folder of its own"
        )
    names = tuple(listing.classes)
    for entry in sorted(root.iterdir()):
        name = printable(entry.name)
        seen = name in names or any(known.startswith(f"{name}/") for known in names)
        if entry.is_dir() and not entry.name.startswith(".") and not seen:
            raise InputError(f"support={folder}: class {name!r} has no images; add some or remove the folder")
    paths = [(path, name) for name, files in listing.classes.items() for path in files]
    return Found(tuple(p for p, _ in paths), tuple(c for _, c in paths), tuple(listing.left_out))


def find_query(given: str | Sequence[str]) -> Found:
    """The images that are named: by a folder (and those below it), a file, a text file of paths, or several.

    A file is taken for an image whatever it is called; in a folder the ending of the name decides. In a .txt
    file each line is a path, seen from the working directory or from the text file's folder. What is named
    twice is labelled once.

    Raises:
        InputError: something is not there or cannot be read, or there is no image.
    """
    words = [given] if isinstance(given, str) else list(given)
    paths: dict[Path, None] = {}
    left_out: list[Path] = []
    for path, where in _named(words):
        # Unlike Path.is_dir, these take a name that is too long for one that is not there.
        if os.path.isdir(path):
            for _, files in walk(path):
                paths.update(dict.fromkeys(file for file in files if is_image(file)))
                left_out += [file for file in files if not is_image(file)]
        elif os.path.isfile(path):
            paths[path] = None
        else:
            raise InputError(f"{where}: there is no file or folder {printable(str(path))}")
    if not paths:
        shown = printable(words[0]) if len(words) == 1 else f"[{len(words)} paths]"
        if len(words) == 1 and Path(words[0]).suffix.lower() == ".txt":
            raise InputError(f"query={shown} names no images: write a path in each line")
        raise InputError(f"query={shown} holds no images: no files end in {_ENDINGS}")
    return Found(tuple(paths), (), tuple(left_out))


def _named(words: Sequence[str]) -> Iterator[tuple[Path, str]]:
    """Paths, and where each is named, for an error message."""
    for word in words:
        path = Path(os.path.expanduser(word))
        if path.suffix.lower() != ".txt" or not os.path.isfile(path):
            yield path, "query"
            continue
        try:
            lines = path.read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines()
        except OSError as error:
            raise InputError(f"query={printable(word)}: cannot be read ({error.strerror})") from error
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            if "\0" in line:
                raise InputError(f"query={printable(word)}, line {number}: is no path, it has a zero byte")
            listed = Path(os.path.expanduser(line.strip()))
            beside = path.parent / listed
            named = beside if not os.path.exists(listed) and os.path.exists(beside) else listed
            yield named, f"query={printable(word)}, line {number}"
