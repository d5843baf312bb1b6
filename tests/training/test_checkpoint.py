from __future__ import annotations

import errno
import io
import os
import pickle
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import torch

from fewshot.errors import InputError
from fewshot.training import checkpoint


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    content = {
        "weights": torch.arange(4.0),
        "nested": {"lr": 0.1, "names": ["a", "b"], "none": None},
        "steps": 3,
    }
    checkpoint.save(tmp_path / "last.pt", content)
    loaded = checkpoint.load(tmp_path / "last.pt")
    assert torch.equal(loaded.pop("weights"), content.pop("weights"))
    assert loaded == {"format": checkpoint.FORMAT, **content}
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.save(tmp_path / "last.pt", {"steps": 1})

    def full(content: Any, file: io.BufferedWriter) -> None:
        file.write(b"half of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(InputError, match=r"cannot write checkpoint .*No space left") as caught:
        checkpoint.save(tmp_path / "last.pt", {"steps": 2})
    assert "\n" not in str(caught.value)
    assert checkpoint.load(tmp_path / "last.pt")["steps"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "missing", "code", "tensor", "later"])
def test_what_is_no_checkpoint_is_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "model.pt"
    checkpoint.save(path, {"weights": torch.zeros(1000)})
    whole = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "text":
        path.write_text("hello")
    elif damage == "missing":
        path.unlink()
    elif damage == "code":
        path.write_bytes(pickle.dumps(Runs(tmp_path / "ran")))
    elif damage == "tensor":
        torch.save(torch.zeros(3), path)
    elif damage == "later":
        torch.save({"format": checkpoint.FORMAT + 1}, path)
    with pytest.raises(InputError, match=r"model\.pt") as caught:
        checkpoint.load(path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


def structure(content: object) -> bytes:
    """What torch writes of it, without its tensors."""
    with io.BytesIO() as file:
        torch.save(content, file)
        with zipfile.ZipFile(file) as archive:
            return archive.read("archive/data.pkl")


def write_archive(path: Path, pickled: bytes, compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        parts = {"data.pkl": pickled, "byteorder": b"little", "version": b"3\n", "data/0": bytes(4000)}
        for name, content in parts.items():
            archive.writestr(f"archive/{name}", content)


TERA = b"\x8a\x06" + (1 << 40).to_bytes(6, "little") + b"\x85"
THOUSAND = structure({"format": 1, "weights": torch.zeros(1000)})


def test_an_archive_is_read_as_torch_wrote_it(tmp_path: Path) -> None:
    write_archive(tmp_path / "model.pt", THOUSAND)
    assert torch.equal(checkpoint.load(tmp_path / "model.pt")["weights"], torch.zeros(1000))
    checkpoint.save(tmp_path / "model.pt", {"weights": torch.nn.BatchNorm1d(2).state_dict()})
    assert len(checkpoint.load(tmp_path / "model.pt")["weights"]) == 5


@pytest.mark.parametrize(
    ("pickled", "said"),
    [
        # A view of one number as of 2^40: a copy of it would fill the memory.
        (
            THOUSAND.replace(b"M\xe8\x03\x85", b"\x8a\x06" + (1 << 40).to_bytes(6, "little") + b"\x85"),
            "more elements",
        ),
        (b"\x80\x02c__builtin__\nbytearray\nJ\xff\xff\xff\x7f\x85R.", "found int where bytes must be"),
        (b"\x80\x02})" + b"\x85" * 200_000 + b"Ns.", "tuple as a key"),  # hashing it ends the interpreter
        (structure({"format": "1"}), "not a checkpoint of this project"),
        (structure({"format": None}), "not a checkpoint of this project"),
    ],
    ids=["view", "zeros", "deep", "text", "none"],
)
def test_what_claims_more_than_it_holds_is_refused(pickled: bytes, said: str, tmp_path: Path) -> None:
    write_archive(tmp_path / "model.pt", pickled)
    with pytest.raises(InputError, match=said):
        checkpoint.load(tmp_path / "model.pt")


def test_a_compressed_archive_is_refused(tmp_path: Path) -> None:
    write_archive(tmp_path / "model.pt", THOUSAND, zipfile.ZIP_DEFLATED)
    with pytest.raises(InputError, match="unpacks to more than it holds"):
        checkpoint.load(tmp_path / "model.pt")


class Runs:
    """Makes a folder when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_the_previous_one_stands_in_for_a_damaged_last(tmp_path: Path) -> None:
    for steps in (1, 2):
        checkpoint.save(tmp_path / "last.pt", {"steps": steps}, keep_previous=True)
    assert checkpoint.load_last(tmp_path)["steps"] == 2
    (tmp_path / "last.pt").write_bytes(b"damaged")
    assert checkpoint.load_last(tmp_path)["steps"] == 1
    (tmp_path / "last.pt.previous").unlink()
    with pytest.raises(InputError, match=r"last\.pt is damaged"):
        checkpoint.load_last(tmp_path)


def test_one_changed_byte_of_a_weight_is_found(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    checkpoint.save(path, {"weights": torch.full((1000,), 7.0), "steps": 1})
    checkpoint.save(path, {"weights": torch.full((1000,), 7.0), "steps": 2}, keep_previous=True)
    data = bytearray(path.read_bytes())
    place = data.index(torch.full((1000,), 7.0).numpy().tobytes()) + 2001
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"last\.pt is damaged .*data/0 in it is not what was written"):
        checkpoint.load(path)
    assert checkpoint.load_last(tmp_path)["steps"] == 1


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
def test_a_full_disk_is_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def full(path: Path, *, keep_replaced: Path | None = None) -> Iterator[BinaryIO]:
        with open("/dev/full", "wb", buffering=0) as file:
            yield file

    monkeypatch.setattr(checkpoint, "whole_file", full)
    with pytest.raises(InputError, match=r"No space left on device; free space or choose output_dir="):
        checkpoint.save(tmp_path / "last.pt", {"weights": torch.zeros(100_000)})
