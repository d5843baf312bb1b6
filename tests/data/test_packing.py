from __future__ import annotations

import fcntl
import io
import json
import os
import resource
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from fewshot.data import pack_format
from fewshot.data.image_set import ImageSet
from fewshot.data.packing import pack
from fewshot.data.source import ClassSplit, Record, Source
from fewshot.errors import InputError

SIZE = 6


def pixels_of(number: int, size: int = SIZE) -> NDArray[np.uint8]:
    return np.random.default_rng(number).integers(0, 256, (size, size, 3), dtype=np.uint8)


def png(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels_of(number)).save(buffer, "PNG")
    return buffer.getvalue()


@dataclass(frozen=True, kw_only=True)
class Listed(Source):
    """A source whose records come from a function."""

    name: ClassVar[str] = "listed"
    title: ClassVar[str] = "Listed"
    terms: ClassVar[str] = "free"
    needs: ClassVar[str] = "nothing"
    splits: ClassVar[tuple[str, ...]] = ()

    make: Callable[[], Iterator[Record]]
    size: int = SIZE
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    split: str = "all"

    def find(self, folder: Path) -> str | None:
        return "records"

    def records(self, folder: Path) -> Iterator[Record]:
        return self.make()

    def class_split(self, class_names: Sequence[str]) -> ClassSplit:
        return ClassSplit(train=tuple(class_names))


def birds(count: int = 300) -> list[Record]:
    return [Record(f"bird{n % 7}", f"bird{n % 7}/{n:04d}.png", png(n)) for n in range(count)]


def packed(records: Sequence[Record], target: Path) -> Path:
    return pack(Listed(make=lambda: iter(records)), target.parent, "records", target)


def left_behind(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if not path.name.endswith(".lock")]


def test_rows_are_the_decoded_images_sorted_by_class_and_name(tmp_path: Path) -> None:
    folder = packed(birds(), tmp_path / "set")
    images = ImageSet.open(folder)
    order = sorted(range(300), key=lambda n: (n % 7, n))
    expected = np.stack([pixels_of(n).transpose(2, 0, 1) for n in order])
    np.testing.assert_array_equal(images.images.numpy(), expected)
    assert images.labels.tolist() == [n % 7 for n in order]
    assert images.class_names == tuple(f"bird{c}" for c in range(7))
    assert images.names == tuple(f"bird{n % 7}/{n:04d}.png" for n in order)


def test_the_pack_does_not_depend_on_the_order_of_the_files(tmp_path: Path) -> None:
    records = birds()
    shuffled = [records[row] for row in np.random.default_rng(0).permutation(len(records))]
    for name, listed in (("a", records), ("b", shuffled)):
        packed(listed, tmp_path / name)
    for file in (*pack_format.ARRAYS, pack_format.NAMES):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_arrays_are_plain_npy_files(tmp_path: Path) -> None:
    folder = packed(birds(130), tmp_path / "set")
    images = np.load(folder / "images.npy")
    assert images.shape == (130, 3, SIZE, SIZE) and images.dtype == np.uint8
    labels = np.load(folder / "labels.npy")
    assert labels.shape == (130,) and labels.dtype == np.int64


def test_manifest_says_what_it_is(tmp_path: Path) -> None:
    records = [*birds(20), Record("single", "single/1.png", png(0))]
    manifest = json.loads((packed(records, tmp_path / "set") / "manifest.json").read_text())
    assert manifest["count"] == 21 and manifest["classes"][-1] == "single"
    assert manifest["images_per_class"] == [3, 3, 3, 3, 3, 3, 2, 1]
    assert manifest["form"] == "records" and manifest["folder"] == str(tmp_path)
    assert manifest["terms"] == "free" and manifest["key"] == "listed-6px-rgb"
    assert pack_format.verify(tmp_path / "set") == manifest


@pytest.mark.parametrize(
    ("records", "says"),
    [
        (
            [Record("a", "a/1.png", png(1)), Record("a", "a/bad.png", b"no image")],
            r"a/bad\.png: cannot be decoded",
        ),
        ([Record("a", "a/1.png", png(1))] * 2, r"'a/1\.png' is twice in class 'a'"),
        ([], "no images of Listed were found"),
        ([Record("a", "a/1", np.zeros((4, 4), np.uint8))], "expected uint8 pixels"),
    ],
)
def test_a_fault_names_the_image_and_leaves_nothing(records: list[Record], says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=says):
        packed(records, tmp_path / "packed" / "set")
    assert left_behind(tmp_path / "packed") == []


def test_a_full_disk_is_one_error_and_leaves_nothing(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, limits[1]))  # bytes of one file: writes then fail
    try:
        with pytest.raises(InputError, match=r"cannot write the packed set .* nothing was kept"):
            packed(birds(), tmp_path / "set")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert left_behind(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot write"):
        packed(birds(3), tmp_path / "file" / "set")


def test_of_two_at_once_one_packs_and_the_other_waits_for_it(tmp_path: Path) -> None:
    started: list[float] = []

    def slowly() -> Iterator[Record]:
        started.append(time.monotonic())
        for record in birds(30):
            time.sleep(0.01)
            yield record

    source = Listed(make=slowly)
    threads = [
        threading.Thread(target=pack, args=(source, tmp_path, "records", tmp_path / "set")) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(started) == 1
    assert len(ImageSet.open(tmp_path / "set")) == 30


def test_without_locks_the_loser_uses_what_the_winner_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(file: object, operation: int) -> None:
        raise OSError("no locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)

    def overtaken() -> Iterator[Record]:
        yield from birds(30)
        # A second process would have another process id, and so another folder.
        monkeypatch.setattr(os, "getpid", lambda: 1)
        packed(birds(40), tmp_path / "set")
        monkeypatch.undo()
        monkeypatch.setattr(fcntl, "flock", no_locks)

    pack(Listed(make=overtaken), tmp_path, "records", tmp_path / "set")
    assert len(ImageSet.open(tmp_path / "set")) == 40
    assert left_behind(tmp_path) == ["set"]


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    def killed() -> Iterator[Record]:
        yield from birds(200)
        os._exit(9)

    child = os.fork()
    if child == 0:
        pack(Listed(make=killed), tmp_path, "records", tmp_path / "set")
    os.waitpid(child, 0)
    assert any(name.startswith(".set.packing-") for name in left_behind(tmp_path))
    assert not (tmp_path / "set").exists()
    packed(birds(10), tmp_path / "set")
    assert left_behind(tmp_path) == ["set"]


def test_a_pack_is_kept_unless_it_is_to_be_replaced(tmp_path: Path) -> None:
    target = packed(birds(10), tmp_path / "set")
    packed(birds(20), target)
    assert len(ImageSet.open(target)) == 10
    pack(Listed(make=lambda: iter(birds(20))), tmp_path, "records", target, replace=True)
    assert len(ImageSet.open(target)) == 20
    broken = Listed(make=lambda: iter([Record("a", "a", b"broken")]))
    with pytest.raises(InputError):
        pack(broken, tmp_path, "records", target, replace=True)
    assert len(ImageSet.open(target)) == 20
    assert left_behind(tmp_path) == ["set"]


@pytest.mark.parametrize("residency", ["memmap", "ram", "device"])
def test_gather_returns_the_named_rows_in_any_shape(residency: str, tmp_path: Path) -> None:
    images = ImageSet.open(packed(birds(50), tmp_path / "set"), residency, "cpu")
    indices = np.random.default_rng(0).integers(0, 50, (2, 3, 4))
    everything = np.load(tmp_path / "set" / "images.npy")
    for given in (indices, torch.from_numpy(indices), indices[:, ::2].transpose(2, 0, 1)):
        got = images.gather(given)
        assert got.dtype == torch.uint8
        np.testing.assert_array_equal(got.numpy(), everything[np.asarray(given)])
    assert images.gather(np.zeros((2, 0), np.int64)).shape == (2, 0, 3, SIZE, SIZE)
    for outside in (50, -1):
        with pytest.raises(IndexError):
            images.gather(np.array([outside]))


def test_writing_to_a_memory_map_never_reaches_the_file(tmp_path: Path) -> None:
    images = ImageSet.open(packed(birds(5), tmp_path / "set"), "memmap")
    images.images.zero_()
    pack_format.verify(tmp_path / "set")


def test_table_of_classes_against_a_loop(tmp_path: Path) -> None:
    labels = torch.tensor([2, 0, 2, 1, 2, 0])
    images = ImageSet(torch.zeros(6, 1, 2, 2, dtype=torch.uint8), labels, ("a", "b", "c", "empty"))
    rows, counts = images.images_of_class
    assert rows.dtype == counts.dtype == np.int64
    for label in range(4):
        expected = [row for row in range(6) if labels[row] == label]
        assert counts[label] == len(expected)
        assert rows[label].tolist() == expected + [-1] * (3 - len(expected))
    assert images.class_indices(["c", "a"]).tolist() == [2, 0]
    with pytest.raises(InputError, match=r"no class 'zebra' \(1 of 2"):
        images.class_indices(["a", "zebra"])


def test_image_set_checks_its_tensors() -> None:
    images, labels = torch.zeros(2, 1, 2, 2, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64)
    ImageSet(images, labels, ("a",))
    for wrong in ((images.float(), labels), (images[0], labels), (images, labels[:1]), (images, labels + 1)):
        with pytest.raises(ValueError, match="must"):
            ImageSet(*wrong, ("a",))


@pytest.mark.parametrize("file", ["images.npy", "labels.npy", "names.txt", "manifest.json"])
def test_truncated_and_missing_files_are_named(file: str, tmp_path: Path) -> None:
    folder = packed(birds(20), tmp_path / "set")
    data = (folder / file).read_bytes()
    (folder / file).write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=file):
        ImageSet.open(folder)
    (folder / file).unlink()
    with pytest.raises(InputError, match=file):
        ImageSet.open(folder)


@pytest.mark.parametrize("file", ["images.npy", "labels.npy"])
def test_verify_finds_one_changed_byte(file: str, tmp_path: Path) -> None:
    folder = packed(birds(20), tmp_path / "set")
    data = bytearray((folder / file).read_bytes())
    data[-1] ^= 1
    (folder / file).write_bytes(data)
    pack_format.read_manifest(folder)
    with pytest.raises(InputError, match=f"{file}: its content has changed"):
        pack_format.verify(folder)


def test_a_pack_of_another_version_is_refused(tmp_path: Path) -> None:
    folder = packed(birds(3), tmp_path / "set")
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"version": 99}))
    with pytest.raises(InputError, match="packed in version 99"):
        ImageSet.open(folder)
