from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from fewshot.data import catalogue
from fewshot.data.source import ClassSplit, Download, Record, Source
from fewshot.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Flat(Source):
    """Files CLASS_N.png in one folder."""

    name: ClassVar[str] = "flat"
    title: ClassVar[str] = "Flat Images"
    terms: ClassVar[str] = "for tests"
    needs: ClassVar[str] = "CLASS_N.png"
    splits: ClassVar[tuple[str, ...]] = ("half",)

    size: int = 4
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    split: str = "half"

    def find(self, folder: Path) -> str | None:
        classes = {path.name.split("_")[0] for path in folder.glob("*.png")}
        return f"images of {len(classes)} classes" if classes else None

    def records(self, folder: Path) -> Iterator[Record]:
        for path in sorted(folder.glob("*.png")):
            yield Record(path.name.split("_")[0], path.name, path.read_bytes())

    def class_split(self, class_names: Sequence[str]) -> ClassSplit:
        return ClassSplit(train=tuple(class_names[:1]), test=tuple(class_names[1:]))


@dataclass(frozen=True, kw_only=True)
class Shared(Flat):
    """Another division of the same images."""

    name: ClassVar[str] = "shared"
    images: ClassVar[str] = "flat"


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((4, 4, 3), value, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def write(folder: Path, **values: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in values.items():
        (folder / f"{name}.png").write_bytes(png(value))
    return folder


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEWSHOT_DATA", str(tmp_path / "root"))
    return tmp_path / "root"


def test_root_is_the_variable_or_data(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert catalogue.root() == root
    monkeypatch.delenv("FEWSHOT_DATA")
    assert catalogue.root() == Path("data")


def test_with_nothing_there_one_line_says_what_to_get_and_where_to_put_it(root: Path) -> None:
    for attempt in (catalogue.prepare, catalogue.open_image_set):
        with pytest.raises(InputError) as caught:
            attempt(Flat())
        text = str(caught.value)
        assert "\n" not in text
        for part in ("Flat Images", str(root / "flat"), "CLASS_N.png", "for tests", "data.path"):
            assert part in text
    assert catalogue.status(Flat()).line().startswith("flat: not here; put into")
    with pytest.raises(InputError, match="not packed yet"):
        catalogue.verify(Flat())


def test_first_use_packs_and_the_second_does_not_need_the_files(root: Path) -> None:
    write(root / "flat", a_1=1, a_2=2, b_1=3)
    assert "found images of 2 classes" in catalogue.status(Flat()).line()
    images = catalogue.open_image_set(Flat())
    assert images.images[:, 0, 0, 0].tolist() == [1, 2, 3]
    assert images.class_names == ("a", "b")
    for path in (root / "flat").iterdir():
        path.unlink()
    assert len(catalogue.open_image_set(Flat(residency="memmap"))) == 3
    assert catalogue.prepare(Flat()) == root / "packed" / "flat-4px-rgb"
    assert catalogue.status(Flat()).line() == "flat: ready: 3 images of 2 classes"
    assert "1 train, 0 val, 1 test classes; 1 classes have one image only" in catalogue.verify(Flat())


def test_sources_over_the_same_images_share_a_pack_and_a_folder(root: Path) -> None:
    write(root / "shared", a_1=1)
    assert catalogue.prepare(Shared()) == catalogue.prepare(Flat())


def test_prepare_packs_again_when_classes_were_added_or_it_is_told_to(root: Path) -> None:
    write(root / "flat", a_1=1)
    target = catalogue.prepare(Flat())
    packed_at = (target / "images.npy").stat().st_mtime_ns
    catalogue.prepare(Flat())
    assert (target / "images.npy").stat().st_mtime_ns == packed_at
    write(root / "flat", b_1=2)
    catalogue.prepare(Flat())
    assert catalogue.open_image_set(Flat()).class_names == ("a", "b")
    write(root / "flat", b_2=3)
    catalogue.prepare(Flat())
    assert len(catalogue.open_image_set(Flat())) == 2
    catalogue.prepare(Flat(), again=True)
    assert len(catalogue.open_image_set(Flat())) == 3


def test_a_pack_of_another_folder_is_never_used_silently(tmp_path: Path) -> None:
    first, second = write(tmp_path / "one", a_1=1), write(tmp_path / "two", a_1=2)
    assert catalogue.open_image_set(Flat(path=str(first))).images.max() == 1
    with pytest.raises(InputError, match=r"was packed from .*one, not from path=.*two; run .* source=.*two"):
        catalogue.open_image_set(Flat(path=str(second)))
    catalogue.prepare(Flat(path=str(second)))
    assert catalogue.open_image_set(Flat(path=str(second))).images.max() == 2
    assert catalogue.open_image_set(Flat()).images.max() == 2


def test_a_path_that_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"path=.*nowhere is not a folder"):
        catalogue.prepare(Flat(path=str(tmp_path / "nowhere")))


def test_status_reports_a_damaged_pack_and_prepare_again_mends_it(root: Path) -> None:
    write(root / "flat", a_1=1)
    target = catalogue.prepare(Flat())
    (target / "labels.npy").write_bytes(b"")
    assert "labels.npy: has 0 bytes" in catalogue.status(Flat()).line()
    with pytest.raises(InputError, match=r"labels\.npy"):
        catalogue.prepare(Flat())
    catalogue.prepare(Flat(), again=True)
    catalogue.verify(Flat())


@pytest.fixture
def served(tmp_path: Path) -> type[Flat]:
    """Flat, whose one file is served under a file: address."""
    published = write(tmp_path / "server", a_1=7) / "a_1.png"
    md5 = hashlib.md5(published.read_bytes()).hexdigest()

    class Served(Flat):
        downloads: ClassVar[tuple[Download, ...]] = (Download(published.as_uri(), "a_1.png", md5),)

    return Served


def test_prepare_downloads_and_training_does_not(served: type[Flat], root: Path) -> None:
    with pytest.raises(InputError, match="prepare flat`, which downloads it"):
        catalogue.open_image_set(served())
    catalogue.prepare(served())
    assert catalogue.open_image_set(served()).images.max() == 7
    assert [path.name for path in (root / "flat").iterdir()] == ["a_1.png"]


def test_a_file_with_another_checksum_is_not_kept(served: type[Flat], tmp_path: Path, root: Path) -> None:
    write(tmp_path / "server", a_1=8)
    with pytest.raises(InputError, match="checksum differs"):
        catalogue.prepare(served())
    assert list((root / "flat").iterdir()) == []


def test_a_server_that_does_not_answer_is_one_error(served: type[Flat], tmp_path: Path, root: Path) -> None:
    (tmp_path / "server" / "a_1.png").unlink()
    with pytest.raises(InputError, match=r"cannot be downloaded .* put it into"):
        catalogue.prepare(served())
    assert list((root / "flat").iterdir()) == []
