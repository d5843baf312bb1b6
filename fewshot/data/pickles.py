"""Read the pickles in which data sets circulate, without running what a pickle can run.

A pickle is a program. This reader knows NumPy arrays and Python's own containers, numbers, bytes
and strings, of Python 2 and 3; whatever else a file names is refused before it is imported.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from fewshot.data.plain_unpickler import ForbiddenGlobal, PlainUnpickler
from fewshot.errors import InputError


def load(file: BinaryIO, name: str) -> Any:
    """The object in a pickle; strings of Python 2 are read as latin1.

    Args:
        file: open for reading, at the pickle's first byte; it goes to the end.
        name: for the error message.

    Raises:
        InputError: the file is damaged, or names anything but NumPy arrays and plain containers.
    """
    try:
        start = file.tell()
        size = file.seek(0, io.SEEK_END) - start
        file.seek(start)
        return PlainUnpickler(file, size).load()
    except ForbiddenGlobal as error:
        raise InputError(
            f"{name}: refused, it would load {error!s:.200}, which no image set needs"
        ) from error
    except MemoryError as error:
        raise InputError(f"{name}: does not fit into memory; use another form of the data set") from error
    except Exception as error:  # a damaged pickle can raise anything
        raise InputError(f"{name}: is damaged or not a pickle ({error!r:.200}); get it again") from error


def load_path(path: Path) -> Any:
    """As `load`, from a file on disk."""
    try:
        with path.open("rb") as file:
            return load(file, str(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def load_bytes(data: bytes, name: str) -> Any:
    """As `load`, from a file in memory."""
    return load(io.BytesIO(data), name)


def entry(mapping: Any, key: str, name: str) -> Any:
    """`mapping[key]`, whether the key was written as text or, by Python 2, as bytes.

    Raises:
        InputError: `mapping` is no dictionary or has no such key; the text says which file.
    """
    if isinstance(mapping, Mapping):
        for spelling in (key, key.encode()):
            if spelling in mapping:
                return mapping[spelling]
    raise InputError(f"{name}: has no entry {key!r}; it is not the file it should be")


def integers(mapping: Any, key: str, name: str) -> NDArray[np.int64]:
    """The entry as numbers [n]: a list of them or an array.

    Raises:
        InputError: see `entry`, or it holds something else.
    """
    return as_integers(entry(mapping, key, name), f"{name}: {key}")


def as_integers(value: Any, where: str) -> NDArray[np.int64]:
    """A list of whole numbers or an array of them: int64 [n].

    Raises:
        InputError: it is something else; the text says `where`.
    """
    if isinstance(value, list | tuple) and all(isinstance(item, int | np.integer) for item in value):
        with contextlib.suppress(OverflowError):
            return np.array(value, dtype=np.int64)
    if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "iu":
        return value.astype(np.int64)
    raise InputError(f"{where} should be a list of whole numbers; get the file again")


def texts(mapping: Any, key: str, name: str) -> list[str]:
    """The entry as a list of names, each of which may have been written as bytes.

    Raises:
        InputError: see `entry`, or it holds something else.
    """
    found = entry(mapping, key, name)
    values = list(found) if isinstance(found, np.ndarray) and found.dtype.kind in "SO" else found
    if not isinstance(values, list | tuple) or not all(isinstance(value, bytes | str) for value in values):
        raise InputError(f"{name}: {key} should be a list of names; get the file again")
    return [text(value) for value in values]


def text(value: bytes | str) -> str:
    """A name that may have been written as bytes."""
    return value.decode("latin1") if isinstance(value, bytes) else str(value)
