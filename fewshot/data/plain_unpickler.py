"""A reader of pickles that hold arrays, plain containers, numbers and text, and nothing else.

A pickle is a program. Python's reader hands whatever a file says to whatever it names, and NumPy's functions
for pickles believe it: a wrong flag makes an address of a number, a shape of a few bytes claims gigabytes.
Here stand-ins take the place of those functions and check what they are handed. What a file can make of
itself is bounded by its length, and no part of it can end the interpreter.
"""

from __future__ import annotations

import codecs
import collections
import math
import pickle
import re
import struct
from collections.abc import Callable, Iterable, Sequence, Sized
from typing import Any, BinaryIO, ClassVar

import numpy as np
from numpy.typing import NDArray

_DTYPE_NAME = re.compile(r"[biufcSU][1-9]\d{0,8}|O8?")
"""Numbers, truth values, bytes, text, objects; what has fields or none of these sizes is refused."""

_PLAIN = (str, bytes, int, float, type(None), np.generic)
"""May be a key or stand in an array of objects. Nested tuples and arrays are hashed and freed by recursion
in C, which ends the interpreter where they are deep."""


class ForbiddenGlobal(Exception):
    """The file names something that is not allowed."""


class PlainUnpickler(pickle._Unpickler):
    """Reads one object from `size` bytes of `file`; strings of Python 2 are read as latin1.

    The one in Python, since that in C lets no step be checked. `load` raises `ForbiddenGlobal`, or whatever
    else a damaged pickle can raise.
    """

    read: Callable[[int], bytes]
    append: Callable[[Any], None]
    pop_mark: Callable[[], list[Any]]
    stack: list[Any]

    def __init__(self, file: BinaryIO, size: int) -> None:
        super().__init__(_Bounded(file, size), encoding="latin1")
        self.memo = _Memo(size)
        self._size = size
        self._copied = 0

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _STAND_INS[module, name]
        except KeyError:
            raise ForbiddenGlobal(f"{module}.{name}") from None

    def _instantiate(self, klass: Any, args: Any) -> None:
        raise pickle.UnpicklingError(f"an instance of {klass!r} is not allowed")

    def load_reduce(self) -> None:
        arguments = self.stack.pop()
        # A pickler writes each argument once; a file that copies one again and again is no pickler's.
        self._copied += sum(len(argument) for argument in arguments if isinstance(argument, Sized))
        if self._copied > self._size:
            raise pickle.UnpicklingError("it copies more than it holds")
        self.stack[-1] = self.stack[-1](*arguments)

    def load_build(self) -> None:
        state = self.stack.pop()
        made = self.stack[-1]
        if type(made) is _DType:
            made.set_state(*state)
        elif type(made) is np.ndarray:
            _set_array(made, *state)
        else:
            raise pickle.UnpicklingError(f"a state of {type(made).__name__} is not allowed")

    def load_bytearray8(self) -> None:
        (length,) = struct.unpack("<Q", self.read(8))
        self.append(bytearray(self.read(length)))

    def load_append(self) -> None:
        item = self.stack.pop()
        _check_is(self.stack[-1], list)
        self.stack[-1].append(item)

    def load_appends(self) -> None:
        items = self.pop_mark()
        _check_is(self.stack[-1], list)
        self.stack[-1].extend(items)

    def load_additems(self) -> None:
        items = self.pop_mark()
        _check_is(self.stack[-1], set)
        self.stack[-1].update(_set(items))

    def load_frozenset(self) -> None:
        items = self.pop_mark()  # replaces `append`
        self.append(_frozenset(items))

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.append({})
        self._fill(items)

    def load_setitem(self) -> None:
        items = self.stack[-2:]
        del self.stack[-2:]
        self._fill(items)

    def load_setitems(self) -> None:
        self._fill(self.pop_mark())

    def _fill(self, items: Sequence[Any]) -> None:
        mapping = self.stack[-1]
        _check_is(mapping, dict, collections.OrderedDict)
        _check_plain(items[::2])
        mapping.update(zip(items[::2], items[1::2], strict=True))

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        **pickle._Unpickler.dispatch,
        pickle.REDUCE[0]: load_reduce,
        pickle.BUILD[0]: load_build,
        pickle.BYTEARRAY8[0]: load_bytearray8,
        pickle.APPEND[0]: load_append,
        pickle.APPENDS[0]: load_appends,
        pickle.ADDITEMS[0]: load_additems,
        pickle.FROZENSET[0]: load_frozenset,
        pickle.DICT[0]: load_dict,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
    }


class _Bounded:
    """A file of which no more is asked than it has: a buffered file makes room for what it is asked for."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size
        self.readline = file.readline

    def read(self, length: int) -> bytes:
        return self._file.read(min(length, self._size))


class _Memo(dict[int, Any]):
    """Numbers within the length of the file: Python's reader in C, which may come after, fills all below."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def __setitem__(self, number: int, value: Any) -> None:
        if number > self._size:
            raise pickle.UnpicklingError(f"number {number} of the memo is not allowed")
        super().__setitem__(number, value)


class _DType:
    """A dtype while the file is read."""

    def __init__(self, name: str) -> None:
        if not _DTYPE_NAME.fullmatch(name):
            raise pickle.UnpicklingError(f"dtype {name!r} is not allowed")
        self.plain: np.dtype[Any] = np.dtype(name)

    def set_state(self, version: int, order: str, *rest: Any) -> None:
        """As NumPy writes it; the byte order is the one thing that the name did not say."""
        plain = self.plain
        own = (None, None, None, plain.itemsize, plain.alignment, plain.flags)
        if version != 3 or rest not in (own, (None, None, None, -1, -1, plain.flags)):
            raise pickle.UnpicklingError(f"state {(version, order, *rest)!r} of dtype {plain} is not allowed")
        self.plain = plain.newbyteorder(order)  # type: ignore[arg-type]


def _dtype(name: str, align: bool = False, copy: bool = False) -> _DType:
    return _DType(name)  # a function, as all stand-ins: what is no type cannot be made or changed otherwise


def _ndarray(*_: Any) -> None:
    raise pickle.UnpicklingError("an array without content is not allowed")


def _reconstruct(kind: Any, shape: Any, code: Any) -> NDArray[Any]:
    """The array that NumPy makes before it sets its state."""
    if kind is not _ndarray or shape != (0,) or code not in (b"b", "b"):
        raise pickle.UnpicklingError("an array without content is not allowed")
    return np.empty(0, dtype=np.int8)


def _set_array(array: NDArray[Any], version: int, shape: Any, dtype: Any, fortran: int, data: Any) -> None:
    plain = dtype.plain
    if plain.hasobject:
        fits = type(data) is list and len(data) == _count(shape)
        _check_plain(data)
    else:
        fits = type(data) in (bytes, str) and len(data) == _count(shape) * plain.itemsize
    if version != 1 or not fits:
        raise pickle.UnpicklingError(f"the content is not of an array of {plain} {shape}")
    array.__setstate__((1, shape, plain, bool(fortran), data))  # type: ignore[arg-type]


def _frombuffer(
    data: Any, dtype: _DType, shape: Any, order: Any, axes: Sequence[int] | None = None
) -> NDArray[Any]:
    plain = dtype.plain
    if type(data) not in (bytes, bytearray) or len(data) != _count(shape) * plain.itemsize:
        raise pickle.UnpicklingError(f"the content is not of an array of {plain} {shape}")
    array = np.frombuffer(data, plain)  # refuses objects
    if order == "K":
        return array.reshape(shape).transpose(axes)
    return array.reshape(shape, order=order)


def _scalar(dtype: _DType, data: bytes | str) -> Any:
    content = data.encode("latin1") if isinstance(data, str) else data
    if len(content) != dtype.plain.itemsize:
        raise pickle.UnpicklingError(f"the content is not of a {dtype.plain}")
    return np.frombuffer(content, dtype.plain)[0]


def _count(shape: Any) -> int:
    """Elements of an array of that shape; one without any has none in its first axis, so that it ends."""
    if type(shape) is not tuple or not all(type(length) is int and length >= 0 for length in shape):
        raise pickle.UnpicklingError(f"shape {shape!r} is not allowed")
    count = math.prod(shape)
    if count == 0 and shape[0] != 0:
        raise pickle.UnpicklingError(f"shape {shape!r} is not allowed")
    return count


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """Protocol 2 writes bytes as a call of `_codecs.encode` with latin1."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"encoding {encoding!r} is not allowed")
    return codecs.latin_1_encode(text)[0]


def _bytearray(data: bytes | str = b"", encoding: str = "latin1") -> bytearray:
    content = _encode(data, encoding) if isinstance(data, str) else data
    _check_is(content, bytes)  # of a number, Python makes as many zeros
    return bytearray(content)


def _set(items: Iterable[Any] = ()) -> set[Any]:
    _check_is(items, list, tuple)
    _check_plain(items)
    return set(items)


def _frozenset(items: Iterable[Any] = ()) -> frozenset[Any]:
    return frozenset(_set(items))


def _ordered(items: Iterable[tuple[Any, Any]] = ()) -> collections.OrderedDict[Any, Any]:
    _check_is(items, list, tuple)
    _check_plain(key for key, _ in items)
    return collections.OrderedDict(items)


def _check_is(value: Any, *kinds: type) -> None:
    if type(value) not in kinds:
        raise pickle.UnpicklingError(f"found {type(value).__name__} where {kinds[0].__name__} must be")


def _check_plain(items: Iterable[Any]) -> None:
    for item in items:
        if not isinstance(item, _PLAIN):
            raise pickle.UnpicklingError(f"{type(item).__name__} as a key or in an array is not allowed")


_STAND_INS: dict[tuple[str, str], Callable[..., Any]] = {
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): _ordered,
    ("numpy", "ndarray"): _ndarray,
    ("numpy", "dtype"): _dtype,
    **{
        (module, name): stand_in
        for module in ("builtins", "__builtin__")
        for name, stand_in in (("set", _set), ("frozenset", _frozenset), ("bytearray", _bytearray))
    },
    **{
        (f"{package}.{module}", name): stand_in
        for package in ("numpy.core", "numpy._core")  # of NumPy 1 and 2
        for module, name, stand_in in (
            ("multiarray", "_reconstruct", _reconstruct),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _frombuffer),
        )
    },
}
