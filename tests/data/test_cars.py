from __future__ import annotations

import csv
import io
import tarfile
import zipfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from PIL import Image

from fewshot.data import catalogue
from fewshot.data.sources.cars import Cars
from fewshot.errors import InputError

NAMES = ["AM General Hummer SUV 2000", "Acura RL Sedan 2012", "Ram C/V Cargo Van Minivan 2012"]
CLASSES = [f"{number:03d} {name}" for number, name in enumerate(NAMES, start=1)]
TRAIN = [2, 1, 3, 1]
TEST = [3, 2]


def photograph() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (50, 40), (10, 200, 30)).save(buffer, "JPEG")
    return buffer.getvalue()


def matlab(**variables: object) -> bytes:
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, variables)
    return buffer.getvalue()


def names() -> np.ndarray:
    return np.array(NAMES, dtype=object)[None]


def annotations(rows: list[tuple[str, int | None]], field: str) -> np.ndarray:
    """The owner's struct array [1, n]: four box corners, the class if it is known, and the file."""
    label = [] if rows[0][1] is None else ["class"]
    table = np.zeros((1, len(rows)), dtype=[(key, object) for key in ("bbox_x1", "bbox_y2", *label, field)])
    for cell, (file, number) in zip(table[0], rows, strict=True):
        cell["bbox_x1"], cell["bbox_y2"], cell[field] = 1, 9, file
        if number is not None:
            cell["class"] = number
    return table


def halves(*, text: bool = False, test_labels: bool = True) -> dict[str, bytes]:
    """cars_train/, cars_test/ and devkit/ as in the owner's three archives."""
    train = [(f"{row:05d}.jpg", number) for row, number in enumerate(TRAIN, start=1)]
    test = [(f"{row:05d}.jpg", number) for row, number in enumerate(TEST, start=1)]
    files = {f"cars_train/{file}": photograph() for file, _ in train}
    files |= {f"cars_test/{file}": photograph() for file, _ in test}
    files["devkit/cars_meta.mat"] = matlab(class_names=names())
    files["devkit/cars_test_annos.mat"] = matlab(
        annotations=annotations([(f, None) for f, _ in test], "fname")
    )
    files["devkit/train_perfect_preds.txt"] = "".join(f"{number}\n" for number in TRAIN).encode()
    if not text:
        files["devkit/cars_train_annos.mat"] = matlab(annotations=annotations(train, "fname"))
    if test_labels:
        files["cars_test_annos_withlabels.mat"] = matlab(annotations=annotations(test, "fname"))
    return files


def whole() -> dict[str, bytes]:
    """car_ims/ and cars_annos.mat: both halves, numbered through."""
    rows = [(f"car_ims/{row:06d}.jpg", number) for row, number in enumerate(TRAIN + TEST, start=1)]
    table = matlab(annotations=annotations(rows, "relative_im_path"), class_names=names())
    return {file: photograph() for file, _ in rows} | {"cars_annos.mat": table}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def tar(folder: Path, archive: str, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / archive, "w:gz") as opened:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            opened.addfile(member, io.BytesIO(content))


def labels(folder: Path) -> dict[str, str]:
    return {record.name: record.class_name for record in Cars().records(folder)}


EXPECTED_TRAIN = {f"cars_train/{row:05d}.jpg": CLASSES[n - 1] for row, n in enumerate(TRAIN, start=1)}
EXPECTED_TEST = {f"cars_test/{row:05d}.jpg": CLASSES[n - 1] for row, n in enumerate(TEST, start=1)}
EXPECTED_WHOLE = {f"car_ims/{row:06d}.jpg": CLASSES[n - 1] for row, n in enumerate(TRAIN + TEST, start=1)}


@pytest.mark.parametrize("text", [False, True])
def test_both_halves_with_their_devkit(tmp_path: Path, text: bool) -> None:
    folder = write(tmp_path, halves(text=text))
    assert Cars().find(folder) == "cars_train and cars_test"
    assert labels(folder) == EXPECTED_TRAIN | EXPECTED_TEST


def test_a_half_without_labels_is_left_out(tmp_path: Path) -> None:
    folder = write(tmp_path, halves(test_labels=False))
    assert Cars().find(folder) == "cars_train"
    assert labels(folder) == EXPECTED_TRAIN


def test_the_owners_archives_are_read_in_place(tmp_path: Path) -> None:
    files = halves()
    for archive, top in (
        ("cars_train", "cars_train/"),
        ("cars_test", "cars_test/"),
        ("car_devkit", "devkit/"),
    ):
        tar(tmp_path, f"{archive}.tgz", {name: files[name] for name in files if name.startswith(top)})
    write(tmp_path, {"cars_test_annos_withlabels.mat": files["cars_test_annos_withlabels.mat"]})
    assert Cars().find(tmp_path) == "cars_train and cars_test"
    assert labels(tmp_path) == EXPECTED_TRAIN | EXPECTED_TEST


def test_the_single_archive_and_its_annotations(tmp_path: Path) -> None:
    files = whole()
    table = {"cars_annos.mat": files.pop("cars_annos.mat")}
    write(tmp_path / "folder", files | table)
    tar(write(tmp_path / "archive", table), "car_ims.tgz", files)
    for form in ("folder", "archive"):
        assert Cars().find(tmp_path / form) == "car_ims"
        assert labels(tmp_path / form) == EXPECTED_WHOLE


def test_a_zip_of_everything_beside_the_extracted_files_counts_once(tmp_path: Path) -> None:
    files = {f"stanford_cars/{name}": content for name, content in halves().items()}
    with zipfile.ZipFile(tmp_path / "stanford-cars.zip", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    assert labels(tmp_path) == EXPECTED_TRAIN | EXPECTED_TEST
    write(tmp_path, dict(islice(files.items(), 3)))
    assert len(list(Cars().records(tmp_path))) == len(TRAIN + TEST)


def test_nothing_usable(tmp_path: Path) -> None:
    assert Cars().find(tmp_path / "elsewhere") is None
    assert Cars().find(tmp_path) is None
    assert Cars().find(write(tmp_path / "a", {"cars_train/00001.jpg": photograph()})) is None
    with pytest.raises(InputError, match=r"needs car_ims\.tgz"):
        list(Cars().records(tmp_path / "a"))


def test_missing_images_are_counted_and_named(tmp_path: Path) -> None:
    folder = write(tmp_path, halves())
    (folder / "cars_train/00002.jpg").unlink()
    with pytest.raises(InputError, match=r"1 annotated images are missing, first cars_train/00002\.jpg"):
        list(Cars().records(folder))


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("devkit/cars_meta.mat", b"MATLAB 5.0 nothing", "no MATLAB file with 'class_names'"),
        ("devkit/cars_meta.mat", matlab(other=1), "no MATLAB file with 'class_names'"),
        ("devkit/cars_meta.mat", matlab(class_names=[1, 2]), "'class_names' in it .it holds other values"),
        ("devkit/train_perfect_preds.txt", b"2\n1\n3\n9\n", "have class 9 of 3"),
        ("devkit/train_perfect_preds.txt", b"two\n", "one class number a line"),
    ],
    # A MATLAB file holds the time of day, by which two test processes would collect different tests.
    ids=["damaged", "another table", "numbers", "class out of range", "words"],
)
def test_damaged_annotations_are_one_clear_line(
    tmp_path: Path, file: str, content: bytes, message: str
) -> None:
    folder = write(tmp_path, halves(text=True) | {file: content})
    with pytest.raises(InputError, match=message) as error:
        list(Cars().records(folder))
    assert "\n" not in str(error.value)


def test_splits() -> None:
    classes = [f"{number:03d} car" for number in range(1, 197)]
    ours, retrieval = Cars().class_split(classes), Cars(split="retrieval").class_split(classes)
    assert (len(ours.train), len(ours.val), len(ours.test)) == (130, 17, 49)
    assert retrieval.train == tuple(classes[:98]) and retrieval.test == tuple(classes[98:])
    assert retrieval.val == () and Cars(protocol="retrieval").class_split(classes) == retrieval
    with pytest.raises(InputError, match="has 195 classes, not 196"):
        Cars().class_split(classes[:-1])


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Iterator[Path]:
    """The training half of the real photographs, every image a link to its archive."""
    folder = tmp_path_factory.mktemp("cars")
    (folder / "cars.zip").symlink_to(shared_data / "cars" / "stanford_cars_train_half.zip")
    yield folder


def test_the_real_half_is_labelled_as_its_table_says(half: Path) -> None:
    assert Cars().find(half) == "cars_train"
    with zipfile.ZipFile(half / "cars.zip") as archive:
        table = list(csv.DictReader(io.TextIOWrapper(archive.open("stanford_cars/cars_train.csv"), "utf-8")))
    expected = {f"cars_train/{row['fname']}": f"{int(row['class']):03d} {row['class_name']}" for row in table}
    found = labels(half)
    assert len(found) == 8144
    assert len(set(found.values())) == 196
    assert found == expected
    # Its part of the published 8,054 and 8,131 images of both halves.
    split = Cars(protocol="retrieval").class_split(sorted(set(found.values())))
    counts = [sum(name in part for name in found.values()) for part in (split.train, split.test)]
    assert counts == [4_052, 4_092]


def test_real_photographs_pack(half: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEWSHOT_DATA", str(tmp_path))
    every = Cars.records
    monkeypatch.setattr(Cars, "records", lambda self, folder: islice(every(self, folder), 40))
    images = catalogue.open_image_set(Cars(size=32, path=str(half)))
    assert images.images.shape == (40, 3, 32, 32)
    assert 40 < images.images.float().std() < 110
