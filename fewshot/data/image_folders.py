"""Any folder of class folders: which images it holds, and of which class each one is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fewshot.data.source import PARTS
from fewshot.errors import InputError

SUFFIXES = (
    ".jpg",
    ".jpeg",
    ".png",
    ".webp",
    ".bmp",
    ".gif",
    ".tif",
    ".tiff",
    ".ppm",
    ".pgm",
    ".avif",
    ".jp2",
)

_PART_OF = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""Names that people give to the folders of the parts."""


@dataclass
class Listing:
    """The images below a folder."""

    root: Path
    classes: dict[str, list[Path]] = field(default_factory=dict)
    """Image files of each class, both sorted. A class is the folder of its images: "birds/owl"."""
    skipped: Counter[str] = field(default_factory=Counter)
    """How many files were left out, by reason."""
    left_out: list[Path] = field(default_factory=list)
    """These files."""

    @property
    def images(self) -> int:
        return sum(len(paths) for paths in self.classes.values())

    def parts(self) -> dict[str, str]:
        """The top folders that stand for parts of a split: {"train": "train", "valid": "val"}.

        They do if "train" and another one are there and no class folder lies beside them, so that
        classes "train" and "bus" of vehicles remain classes.
        """
        tops = {name.split("/")[0] for name in self.classes}
        nested = all("/" in name for name in self.classes)
        known = {top: _PART_OF[top.lower()] for top in sorted(tops) if top.lower() in _PART_OF}
        given = nested and len(known) == len(tops) > 1 and "train" in known.values()
        return known if given else {}

    def merged(self) -> dict[str, list[Path]]:
        """The classes with train/NAME and test/NAME taken as one class NAME."""
        if not self.parts():
            return self.classes
        classes: dict[str, list[Path]] = {}
        for name, paths in self.classes.items():
            classes.setdefault(name.split("/", 1)[1], []).extend(paths)
        return dict(sorted(classes.items()))


def list_images(root: Path) -> Listing:
    """Find the images below `root`; hidden files and folders are passed over.

    Links to folders are followed, each folder being visited once. Images directly in `root` have
    no class and are skipped, as are files whose names do not end like an image's.

    Raises:
        InputError: a folder cannot be read, or two folders have one printable name.
    """
    listing = Listing(root)
    for folder, files in walk(root):
        images = [file for file in files if is_image(file)]
        listing.skipped["not images"] += len(files) - len(images)
        listing.left_out += [file for file in files if folder == root or not is_image(file)]
        if folder == root:
            listing.skipped["images in no class folder"] += len(images)
        elif images:
            name = printable(folder.relative_to(root).as_posix())
            if name in listing.classes:
                raise InputError(f"{printable(str(root))}: two folders are called {name!r}; rename one")
            listing.classes[name] = images
    listing.classes = dict(sorted(listing.classes.items()))
    return listing


def is_image(file: Path) -> bool:
    """Whether a file's name ends like an image's."""
    return file.name.lower().endswith(SUFFIXES)


def walk(root: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Each folder from `root` down with its files, sorted; what is hidden is passed over.

    Links to folders are followed, each folder being visited once.

    Raises:
        InputError: a folder cannot be read.
    """
    visited: set[tuple[int, int]] = set()
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in visited:
                continue
            visited.add((status.st_dev, status.st_ino))
            entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
            folders = [entry for entry in entries if entry.is_dir()]
            files = [entry for entry in entries if entry.is_file()]
        except OSError as error:
            raise InputError(f"{printable(str(folder))}: cannot be read ({error.strerror})") from error
        waiting += reversed(folders)
        yield folder, files


def printable(name: str) -> str:
    """A file name as one line of valid Unicode: line breaks and bytes that are no UTF-8 are escaped."""
    try:
        data = name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a character, as no file system gives it but a data set's list can
        data = name.encode("utf-8", "backslashreplace")
    text = data.decode("utf-8", "backslashreplace")
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def read_split_file(path: Path) -> dict[str, tuple[str, ...]]:
    """A class split in a text file: the lines [train], [val] and [test], each followed by class names.

    Empty lines and lines that start with "#" are ignored.

    Raises:
        InputError: the file cannot be read or has another form.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: this split file cannot be read as UTF-8 text ({error})") from error
    parts: dict[str, list[str]] = {part: [] for part in PARTS}
    part = ""
    for number, line in enumerate((line.strip() for line in lines), start=1):
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            part = line[1:-1]
            if part not in parts:
                raise InputError(f"{path}, line {number}: {line} must be one of [train], [val], [test]")
        elif not part:
            raise InputError(
                f"{path}, line {number}: {line!r} comes before the first of [train], [val], [test]"
            )
        else:
            parts[part].append(line)
    return {part: tuple(names) for part, names in parts.items()}
