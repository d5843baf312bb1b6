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


def test_a_huge_number_in_the_memo_costs_nothing() -> None:
    """Python's reader in C makes room for all numbers below it: 32 GB."""
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert pickles.load_bytes(b"\x80\x02Nr" + (2**31 - 1).to_bytes(4, "little") + b".", "a.pkl") is None
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000
