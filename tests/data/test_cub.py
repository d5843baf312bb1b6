from __future__ import annotations

import csv
import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fewshot.data import catalogue
from fewshot.data.class_lists import class_list
from fewshot.data.sources.cub import CUB
from fewshot.errors import InputError

BIRDS = {
    "001.Black_footed_Albatross": [
        "Black_Footed_Albatross_0001_796111.jpg",
        "Black_Footed_Albatross_0002_55.jpg",
    ],
    "002.Laysan_Albatross": ["Laysan_Albatross_0001_545.jpg"],
    "003.Sooty_Albatross": ["Sooty_Albatross_0001_1071.jpg"],
    "004.Groove_billed_Ani": ["Groove_Billed_Ani_0002_1670.jpg"],
}


def photograph(width: int = 60, height: int = 40) -> bytes:
    """Blue, with a red bird at x 20..39, y 10..29."""
    image = Image.new("RGB", (width, height), "blue")
    image.paste((255, 0, 0), (20, 10, 40, 30))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()


def files(birds: dict[str, list[str]] = BIRDS, box: str = "20.0 10.0 20.0 20.0") -> dict[str, bytes]:
    paths = [f"{bird}/{name}" for bird, names in birds.items() for name in names]
    numbered = list(enumerate(paths, start=1))
    tables = {
        "images.txt": "".join(f"{number} {path}\n" for number, path in numbered),
        "image_class_labels.txt": "".join(f"{n} {int(path[:3])}\n" for n, path in numbered),
        "train_test_split.txt": "".join(f"{number} {number % 2}\n" for number, _ in numbered),
        "bounding_boxes.txt": "".join(f"{number} {box}\n" for number, _ in numbered),
    }
    content = {f"CUB_200_2011/images/{path}": photograph() for path in paths}
    content |= {f"CUB_200_2011/{name}": text.encode() for name, text in tables.items()}
    # In the owner's archive this file lies beside the folder.
    return content | {
        "attributes.txt": b"1 has_bill_shape::curved\n",
        "CUB_200_2011/parts/parts.txt": b"1 back\n",
    }


def write(folder: Path, form: str, content: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    if form == "tgz":
        with tarfile.open(folder / "CUB_200_2011.tgz", "w:gz") as archive:
            for name, data in content.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    elif form == "zip":
        with zipfile.ZipFile(folder / "CUB_200_2011.zip", "w") as archive:
            for name, data in content.items():
                archive.writestr(name, data)
    else:
        for name, data in content.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize(
    ("form", "found"), [("tgz", "CUB_200_2011.tgz"), ("zip", "CUB_200_2011.zip"), ("extracted", "extracted")]
)
def test_every_form_holds_the_same_records(tmp_path: Path, form: str, found: str) -> None:
    folder = write(tmp_path, form, files())
    assert CUB().find(folder) == found
    records = {record.name: record for record in CUB().records(folder)}
    assert sorted(records) == sorted(f"{bird}/{name}" for bird, names in BIRDS.items() for name in names)
    for name, record in records.items():
        assert record.class_name == name.split("/")[0]
        assert record.image == photograph()


def test_the_inner_folder_can_be_given(tmp_path: Path) -> None:
    folder = write(tmp_path, "extracted", files()) / "CUB_200_2011"
    assert CUB().find(folder) == "extracted"
    assert len(list(CUB(crop="box").records(folder))) == 5
    assert CUB().find(tmp_path / "elsewhere") is None


@pytest.mark.parametrize("form", ["tgz", "extracted"])
def test_boxes_are_cut_out(tmp_path: Path, form: str) -> None:
    for record in CUB(crop="box").records(write(tmp_path, form, files())):
        assert isinstance(record.image, np.ndarray)
        assert record.image.shape == (20, 20, 3)
        red, green, blue = record.image[2:-2, 2:-2].reshape(-1, 3).mean(0)
        assert red > 240 and green < 15 and blue < 15


def test_boxes_that_leave_the_image_are_cut_to_it(tmp_path: Path) -> None:
    record = next(iter(CUB(crop="box").records(write(tmp_path, "tgz", files(box="50.4 -3.0 20.0 13.0")))))
    assert np.asarray(record.image).shape == (10, 10, 3)


@pytest.mark.parametrize(
    ("box", "message"),
    [("70 10 5 5", "outside the image"), ("a b c d", "four numbers"), ("1 2 3", "4 values")],
)
def test_wrong_boxes_are_one_clear_line(tmp_path: Path, box: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        list(CUB(crop="box").records(write(tmp_path, "tgz", files(box=box))))
    assert "\n" not in str(error.value)


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    content = files()
    del content["CUB_200_2011/images/002.Laysan_Albatross/Laysan_Albatross_0001_545.jpg"]
    for form in ("tgz", "extracted"):
        with pytest.raises(InputError, match="Laysan_Albatross_0001_545"):
            list(CUB().records(write(tmp_path / form, form, content)))


def test_a_cut_off_archive_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path, "tgz", files())
    archive = folder / "CUB_200_2011.tgz"
    archive.write_bytes(archive.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"CUB_200_2011\.tgz"):
        list(CUB().records(folder))


def test_another_archive_of_that_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no images\.txt"):
        list(CUB().records(write(tmp_path, "tgz", {"readme": b"x"})))


def test_it_packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEWSHOT_DATA", str(tmp_path))
    write(tmp_path / "cub", "tgz", files())
    full, box = CUB(size=16), CUB(size=16, crop="box")
    assert full.key != box.key
    images = {crop.crop: catalogue.open_image_set(crop) for crop in (full, box)}
    assert images["full"].images.shape == (5, 3, 16, 16)
    assert images["box"].images[:, 0].float().mean() > 230 > images["full"].images[:, 0].float().mean()


def published(folder: Path, name: str, part: str) -> set[str]:
    """The classes of one part as the list's authors write them."""
    if name in ("sicara", "torchmeta"):
        listed = json.loads((folder / f"{name}_{part}.json").read_text())
        return set(listed["class_names"] if name == "sicara" else listed)
    file = folder / ("closerlook_tim" if name == "closerlook" else name)
    rows = list(csv.reader(file.with_name(f"{file.name}_{part}.csv").read_text().splitlines()))
    return {row[0].split("/")[0] for row in rows} if name == "closerlook" else {row[1] for row in rows[1:]}


@pytest.mark.parametrize("name", ["closerlook", "torchmeta", "feat", "sicara"])
def test_the_lists_are_those_of_their_authors(shared_data: Path, name: str) -> None:
    classes = sorted(
        set().union(*(published(shared_data / "splits" / "cub", name, p) for p in ("train", "val", "test")))
    )
    assert len(classes) == 200
    split = CUB(split=name).class_split(classes)
    for part in ("train", "val", "test"):
        assert set(getattr(split, part)) == published(shared_data / "splits" / "cub", name, part)


def test_closerlook_is_the_class_index_modulo_four() -> None:
    split = class_list("cub_closerlook")
    classes = sorted(split.train + split.val + split.test)
    assert split.train == tuple(classes[0::2])
    assert split.val == tuple(classes[1::4])
    assert split.test == tuple(classes[3::4])


def test_retrieval_is_the_first_and_the_last_hundred() -> None:
    whole = class_list("cub_closerlook")
    classes = sorted(whole.train + whole.val + whole.test)
    split = CUB(split="retrieval").class_split(classes)
    assert (split.train, split.val, split.test) == (tuple(classes[:100]), (), tuple(classes[100:]))
    assert (split.train[-1], split.test[0]) == ("100.Brown_Pelican", "101.White_Pelican")
    assert CUB(protocol="retrieval").class_split(classes) == split
    with pytest.raises(InputError, match="data=cub: the image set has 199 classes, not 200"):
        CUB(split="retrieval").class_split(classes[1:])


def test_retrieval_has_the_published_numbers_of_images(shared_data: Path) -> None:
    """The lists of Chen et al. name all 11,788 images."""
    lists = (shared_data / "splits" / "cub").glob("closerlook_tim_*.csv")
    images = [line.split("/")[0] for file in lists for line in file.read_text().splitlines()]
    split = CUB(protocol="retrieval").class_split(sorted(set(images)))
    found = [sum(image in set(part) for image in images) for part in (split.train, split.test)]
    assert found == [5_864, 5_924]


def test_wrong_settings() -> None:
    for wrong in ({"crop": "head"}, {"split": "random"}):
        with pytest.raises(InputError, match="must be one of"):
            CUB(**wrong)  # type: ignore[arg-type]
