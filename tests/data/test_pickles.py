from __future__ import annotations

import collections
import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewshot.data import pickles
from fewshot.errors import InputError


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_containers_of_every_protocol(protocol: int) -> None:
    written = {
        "array": np.arange(6, dtype=np.uint8).reshape(2, 3),
        "scalar": np.int64(7),
        b"bytes": [b"\xff\x00", "text", (1, 2.5, None, True), {3}, frozenset({4})],
        "objects": np.array([b"a", "b"], dtype=object),
        "ordered": collections.OrderedDict(a=1),
        "fortran": np.asfortranarray(np.eye(2)),
    }
    read = pickles.load_bytes(pickle.dumps(written, protocol), "a")
    np.testing.assert_array_equal(read["array"], written["array"])
    np.testing.assert_array_equal(read["objects"], written["objects"])
    np.testing.assert_array_equal(read["fortran"], written["fortran"])
    for key in ("scalar", b"bytes", "ordered"):
        assert read[key] == written[key]


def test_arrays_written_by_the_other_numpy() -> None:
    data = pickle.dumps(np.arange(3), 2)
    old, new = b"cnumpy.core.multiarray\n", b"cnumpy._core.multiarray\n"
    for renamed in (data.replace(new, old), data.replace(old, new)):
        np.testing.assert_array_equal(pickles.load_bytes(renamed, "a"), np.arange(3))


def test_strings_of_python_2() -> None:
    # protocol 2: {'data': '\xff\x00'} as Python 2 writes it, with SHORT_BINSTRING
    data = b"\x80\x02}q\x00U\x04dataq\x01U\x02\xff\x00q\x02s."
    read = pickles.load_bytes(data, "a")
    assert pickles.entry(read, "data", "a").encode("latin1") == b"\xff\x00"


def test_entry_finds_bytes_keys_and_names_what_is_missing() -> None:
    assert pickles.entry({b"data": 1}, "data", "a") == 1
    with pytest.raises(InputError, match="a: has no entry 'labels'"):
        pickles.entry({b"data": 1}, "labels", "a")
    with pytest.raises(InputError, match="no entry"):
        pickles.entry([1], "labels", "a")


class Calls:
    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


@pytest.mark.parametrize(
    ("function", "argument", "named"),
    [
        (os.system, "touch {}", "posix.system"),
        (eval, "open({!r}, 'w')", "builtins.eval"),
        (open, "{}", "io.open"),
        (np.load, "{}", "numpy.load"),
        (getattr, "{}", "builtins.getattr"),
    ],
)
def test_anything_else_is_refused_by_name_and_not_run(
    function: Callable[..., Any], argument: str, named: str, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    data = pickle.dumps({"data": Calls(function, argument.format(mark))})
    with pytest.raises(InputError, match=f"refused, it would load .*{named.rsplit('.')[-1]}"):
        pickles.load_bytes(data, "cache.pkl")
    assert not mark.exists()


def test_forbidden_inside_an_object_array() -> None:
    hidden = np.array([Calls(os.system, "true")], dtype=object)
    with pytest.raises(InputError, match="system"):
        pickles.load_bytes(pickle.dumps(hidden), "a")


def test_only_latin1_may_be_encoded() -> None:
    data = b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00hex\x86R."
    with pytest.raises(InputError, match="encoding 'hex' is not allowed"):
        pickles.load_bytes(data, "a")


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 not a pickle", pickle.dumps(np.zeros(1000))[:500]])
def test_damage_is_named(data: bytes) -> None:
    with pytest.raises(InputError, match=r"^train\.pkl: is damaged"):
        pickles.load(io.BytesIO(data), "train.pkl")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.pkl: cannot be read"):
        pickles.load_path(tmp_path / "none.pkl")


def test_columns_of_numbers_and_names() -> None:
    content = {
        "labels": [1, np.int32(2)],
        "array": np.array([1, 2], np.uint8),
        b"names": [b"a", "b"],
        "texts": np.array([b"a", b"b"]),
        "objects": np.array(["a", b"b"], dtype=object),
        "nested": [[1, 2]],
        "real": [1.0],
        "huge": [2**70],
    }
    for key in ("labels", "array"):
        assert pickles.integers(content, key, "a").tolist() == [1, 2]
    for key in ("names", "texts", "objects"):
        assert pickles.texts(content, key, "a") == ["a", "b"]
    for key in ("names", "nested", "real", "huge"):
        with pytest.raises(InputError, match=f"a: {key} should be a list of whole numbers"):
            pickles.integers(content, key, "a")
    for key in ("labels", "array", "nested"):
        with pytest.raises(InputError, match=f"a: {key} should be a list of names"):
            pickles.texts(content, key, "a")


def named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


NDARRAY = named("numpy", "ndarray")
RECONSTRUCT, SCALAR = (named("numpy._core.multiarray", name) for name in ("_reconstruct", "scalar"))
FROM_BUFFER = named("numpy._core.numeric", "_frombuffer")


def text(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


def number(value: int) -> bytes:
    return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)


def dtype(name: str, *, size: int = -1, flags: int | None = None) -> bytes:
    """As NumPy writes it; with flags, their state follows."""
    made = named("numpy", "dtype") + text(name) + b"\x89\x88\x87R"
    if flags is None:
        return made
    return made + b"(K\x03" + text("|") + b"NNN" + number(size) + number(-1) + number(flags) + b"tb"


def array(shape: bytes, kind: bytes, content: bytes) -> bytes:
    """NumPy's call of `_reconstruct` and the state: the shape a tuple, the dtype, the content."""
    return RECONSTRUCT + NDARRAY + b"K\x00\x85C\x01b\x87R(K\x01" + shape + kind + b"\x89" + content + b"tb"


BYTEARRAY, CALL, POINTER = named("builtins", "bytearray"), b"\x85R", b"C\x08" + b"\1" * 8
GIGA, ONE = number(4 << 30) + b"\x85", b"K\x01\x85"
OBJECTS = array(ONE, dtype("O8"), b"](" + POINTER + b"e")


@pytest.mark.parametrize(
    "steps",
    {
        # NumPy takes these flags as they come: numbers become addresses of objects, or the reverse.
        "objects without flag": array(ONE, dtype("O8", flags=0), POINTER),
        "numbers with flag": array(ONE, dtype("u8", flags=63), b"](K\x03e"),
        "other size": dtype("V8", size=1 << 30, flags=0),
        "objects from bytes": NDARRAY + b"(" + ONE + text("O") + POINTER + b"tR",
        "objects from a buffer": FROM_BUFFER + b"(" + POINTER + dtype("O8") + ONE + text("C") + b"tR",
        "fields": array(ONE, named("numpy", "dtype") + text("O,O") + CALL, POINTER + POINTER),
        # Gigabytes for a few bytes.
        "zeros of a bytearray": BYTEARRAY + number(4 << 30) + CALL,
        "bytearray": b"\x96" + (1 << 50).to_bytes(8, "little") + b"abc",
        "array": NDARRAY + GIGA + CALL,
        "array of objects": NDARRAY + GIGA + text("O") + b"\x86R",
        "array before its state": RECONSTRUCT + NDARRAY + GIGA + b"C\1b\x87R",
        "state": array(GIGA, dtype("u1"), b"C\x03abc"),
        "state of objects": array(GIGA, dtype("O8"), b"]"),
        "scalar": SCALAR + dtype("S2147483647") + CALL,
        "scalar with fields": SCALAR + dtype("V2147483647") + CALL,
        "copies": b"C\xff" + b"a" * 255 + b"\x94" + (b"h\x00\x85\x94" + BYTEARRAY + b"h\x01R0") * 50 + b"N",
        "memo": b"Nr" + (2**31 - 1).to_bytes(4, "little"),
        # An array that holds nothing and does not end.
        "empty": array(number(1 << 40) + b"K\x00\x86", dtype("u1"), b"C\x00"),
        "of no size": array(GIGA, dtype("S0"), b"C\x00"),
        # Hashed or freed by recursion in C.
        "deep key": b"})" + b"\x85" * 200_000 + b"Ns",
        "deep key of a set": b"\x8f()" + b"\x85" * 200_000 + b"\x90",
        "deep objects": array(ONE, dtype("O8"), b"](" + OBJECTS + b"e"),
        # Changes of what other readers share.
        "state of a stand-in": named("_codecs", "encode") + b"N}" + text("__defaults__") + b"Ns\x86b",
        "item of an array": OBJECTS + b"K\x00" + OBJECTS + b"s",
    }.items(),
    ids=lambda steps: steps[0],
)
def test_what_would_crash_or_fill_the_memory_is_refused(steps: tuple[str, bytes]) -> None:
    with pytest.raises(InputError, match=r"^a\.pkl: is damaged or not a pickle \(") as error:
        pickles.load_bytes(b"\x80\x05" + steps[1] + b".", "a.pkl")
    assert len(str(error.value)) < 400


def test_the_steps_above_are_well_formed() -> None:
    read = pickles.load_bytes(b"\x80\x05" + array(ONE, dtype("u8", flags=0), POINTER) + b".", "a")
    assert read.dtype == np.uint64 and read.tolist() == [0x0101010101010101]
    assert pickles.load_bytes(b"\x80\x05" + OBJECTS + b".", "a").tolist() == [b"\1" * 8]


def test_arrays_in_any_order_of_axes() -> None:
    for order in ((0, 1, 2), (2, 1, 0), (1, 0, 2)):
        written = np.arange(24, dtype=">i4").reshape(2, 3, 4).transpose(order)
        for protocol in (2, 5):
            read = pickles.load_bytes(pickle.dumps(written, protocol), "a")
            np.testing.assert_array_equal(read, written)
