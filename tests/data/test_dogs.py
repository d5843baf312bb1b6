from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from PIL import Image

from fewshot.data import catalogue
from fewshot.data.sources.dogs import Dogs
from fewshot.errors import InputError

BREEDS = {
    "n02085620-Chihuahua": ["n02085620_10074.jpg", "n02085620_10131.jpg"],
    "n02085782-Japanese_spaniel": ["n02085782_1039.jpg"],
    "n02113799-standard_poodle": ["n02113799_1057.jpg"],
}
PATHS = [f"{breed}/{file}" for breed, files in BREEDS.items() for file in files]


def photograph(value: int = 100) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (50, 40), (value, 0, 0)).save(buffer, "JPEG")
    return buffer.getvalue()


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def file_list(paths: list[str]) -> bytes:
    """file_list.mat as the owner's: cells of strings, [n, 1], with annotations and labels."""
    cells = np.array(paths, dtype=object)[:, None]
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {"file_list": cells, "labels": np.ones((len(paths), 1))})
    return buffer.getvalue()


def write(folder: Path, form: str, paths: list[str] = PATHS, listed: list[str] | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    if form == "tar":
        with tarfile.open(folder / "images.tar", "w") as archive:
            for path in paths:
                add(archive, f"Images/{path}", photograph())
        if listed is not None:
            with tarfile.open(folder / "lists.tar", "w") as archive:
                add(archive, "file_list.mat", file_list(listed))
    else:
        for path in paths:
            (folder / "Images" / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / "Images" / path).write_bytes(photograph())
        if listed is not None:
            (folder / "file_list.mat").write_bytes(file_list(listed))
    return folder


@pytest.mark.parametrize(("form", "found"), [("tar", "images.tar"), ("folders", "class folders")])
@pytest.mark.parametrize("listed", [None, PATHS, PATHS[:1]])
def test_both_forms_hold_the_same_records(
    tmp_path: Path, form: str, found: str, listed: list[str] | None
) -> None:
    folder = write(tmp_path, form, listed=listed)
    assert Dogs().find(folder) == found
    records = list(Dogs().records(folder))
    assert sorted(record.name for record in records) == sorted(PATHS)
    assert all(record.class_name == record.name.split("/")[0] for record in records)
    assert all(record.image == photograph() for record in records)
    assert Dogs().find(tmp_path / "elsewhere") is None


@pytest.mark.parametrize("form", ["tar", "folders"])
def test_an_image_that_the_list_has_and_the_folder_lacks_is_named(tmp_path: Path, form: str) -> None:
    folder = write(tmp_path, form, PATHS[:-1], listed=PATHS)
    with pytest.raises(InputError, match=r"n02113799_1057\.jpg' of the owner's list is missing \(1 are\)"):
        list(Dogs().records(folder))


def test_what_holds_no_dogs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no image like"):
        list(Dogs().records(write(tmp_path, "tar", ["readme/x.txt"])))


def test_a_damaged_list_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path, "folders", listed=PATHS)
    (folder / "file_list.mat").write_bytes(b"no matrix")
    with pytest.raises(InputError, match="no MATLAB file with 'file_list'"):
        list(Dogs().records(folder))


def test_it_packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEWSHOT_DATA", str(tmp_path))
    write(tmp_path / "dogs", "tar", listed=PATHS)
    images = catalogue.open_image_set(Dogs(size=16))
    assert images.images.shape == (4, 3, 16, 16)
    assert images.class_names == tuple(sorted(BREEDS))


def test_the_split_is_of_all_classes_and_fixed() -> None:
    classes = [f"n{number:08d}-breed" for number in range(120)]
    split = Dogs().class_split(classes)
    assert (len(split.train), len(split.val), len(split.test)) == (70, 20, 30)
    assert Dogs().class_split(classes[::-1]) == split
    retrieval = Dogs(protocol="retrieval").class_split(classes)
    assert (retrieval.train, retrieval.val, retrieval.test) == (tuple(classes[:60]), (), tuple(classes[60:]))
    with pytest.raises(InputError, match="has 119 classes, not 120"):
        Dogs().class_split(classes[1:])
