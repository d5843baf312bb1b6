"""Read the pickles in which data sets circulate, without running what a pickle can run.

A pickle is a program. This reader knows NumPy arrays and Python's own containers, numbers, bytes
and strings, of Python 2 and 3; whatever else a file names is refused before it is imported.
"""

from __future__ import annotations

import codecs
import collections
import io
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from fewshot.errors import InputError


def _encode_latin1(text: str, encoding: str = "latin1") -> bytes:
    """Protocol 2 writes bytes as a call of `_codecs.encode` with latin1."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"encoding {encoding!r} is not allowed")
    return codecs.latin_1_encode(text)[0]


def _numpy_globals() -> dict[tuple[str, str], Any]:
    """NumPy's own names for rebuilding an array, under the module paths of NumPy 1 and 2."""
    array = np.zeros(1, dtype=np.uint8)
    rebuild = array.__reduce__()[0]
    rebuild_scalar = np.float64(0).__reduce__()[0]
    from_buffer = array.__reduce_ex__(5)[0]
    found: dict[tuple[str, str], Any] = {("numpy", "ndarray"): np.ndarray, ("numpy", "dtype"): np.dtype}
    for package in ("numpy.core", "numpy._core"):
        found[f"{package}.multiarray", "_reconstruct"] = rebuild
        found[f"{package}.multiarray", "scalar"] = rebuild_scalar
        found[f"{package}.numeric", "_frombuffer"] = from_buffer
    return found


_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("_codecs", "encode"): _encode_latin1,
    ("collections", "OrderedDict"): collections.OrderedDict,
    **{
        (module, kind.__name__): kind
        for module in ("builtins", "__builtin__")
        for kind in (set, frozenset, bytearray)
    },
    **_numpy_globals(),
}


# The one in Python: that in C fills its memo up to whatever number a file names, gigabytes for a few bytes.
class _PlainUnpickler(pickle._Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise _ForbiddenGlobal(f"{module}.{name}") from None


class _ForbiddenGlobal(Exception):
    pass


def load(file: BinaryIO, name: str) -> Any:
    """The object in a pickle; strings of Python 2 are read as latin1.

    Args:
        file: open for reading.
        name: for the error message.

    Raises:
        InputError: the file is damaged, or names anything but NumPy arrays and plain containers.
    """
    try:
        return _PlainUnpickler(file, encoding="latin1").load()
    except _ForbiddenGlobal as error:
        raise InputError(f"{name}: refused, it would load {error}, which no image set needs") from error
    except MemoryError as error:
        raise InputError(f"{name}: does not fit into memory; use another form of the data set") from error
    except Exception as error:  # a damaged pickle can raise anything
        raise InputError(f"{name}: is damaged or not a pickle ({error!r}); get it again") from error


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


def text(value: bytes | str) -> str:
    """A name that may have been written as bytes."""
    return value.decode("latin1") if isinstance(value, bytes) else str(value)
