"""The form of a packed set on disk, and the check that it is whole.

    ROOT/packed/KEY/images.npy      uint8 [n, channels, height, width]
    ROOT/packed/KEY/labels.npy      int64 [n]
    ROOT/packed/KEY/names.txt       the name of each image, one a line
    ROOT/packed/KEY/manifest.json   what it is and what it was made from; sizes and SHA-256 of the arrays

Rows are sorted by class and name, so that the same files give the same rows in whichever archive
or folder they came.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from fewshot.errors import InputError

VERSION = 1
MANIFEST = "manifest.json"
IMAGES = "images.npy"
LABELS = "labels.npy"
NAMES = "names.txt"
ARRAYS = (IMAGES, LABELS)

_MEND = "delete the folder and run `python -m fewshot data prepare NAME`"


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a packed set, after a check that costs nothing: the files have their sizes.

    Raises:
        InputError: no pack is there, it is of another version, or a file is missing or truncated.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        version, sizes = manifest["version"], {name: manifest["bytes"][name] for name in (*ARRAYS, NAMES)}
    except FileNotFoundError as error:
        raise InputError(f"{folder}: there is no packed image set here ({MANIFEST} is missing)") from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: the manifest cannot be read ({error}); {_MEND}") from error
    if version != VERSION:
        raise InputError(f"{folder}: packed in version {version}, this program reads {VERSION}; {_MEND}")
    for name, size in sizes.items():
        try:
            found = (folder / name).stat().st_size
        except OSError as error:
            raise InputError(f"{folder / name}: missing from the packed set; {_MEND}") from error
        if found != size:
            raise InputError(f"{folder / name}: has {found} bytes instead of {size}; {_MEND}")
    return dict(manifest)


def verify(folder: Path) -> dict[str, Any]:
    """Check every byte of the arrays against the manifest and return it.

    Raises:
        InputError: as `read_manifest`, or the content of an array has changed.
    """
    manifest = read_manifest(folder)
    for name in ARRAYS:
        if sha256_of(folder / name) != manifest["sha256"][name]:
            raise InputError(f"{folder / name}: its content has changed since it was packed; {_MEND}")
    return manifest
