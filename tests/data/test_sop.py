from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from fewshot.data import catalogue
from fewshot.data.sources import sop
from fewshot.data.sources.sop import SOP
from fewshot.errors import InputError

HEADER = "image_id class_id super_class_id path"
TRAIN = [(1, 1, 1, "bicycle_final/111085122871_0.JPG"), (2, 1, 1, "bicycle_final/111085122871_1.JPG")]
TRAIN += [(3, 2, 8, "mug_final/111265328556_0.JPG")]
TEST = [(4, 11319, 1, "bicycle_final/251952414262_0.JPG"), (5, 11319, 1, "bicycle_final/251952414262_1.JPG")]
EXPECTED = {path: f"train/{product:05d}" for _, product, _, path in TRAIN}
EXPECTED |= {path: f"test/{product:05d}" for _, product, _, path in TEST}


def photograph(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (50, 40), (value, 0, 0)).save(buffer, "JPEG")
    return buffer.getvalue()


def listed(rows: list[tuple[int, int, int, str]], header: str = HEADER) -> bytes:
    return "\n".join([header, *(" ".join(map(str, row)) for row in rows), ""]).encode()


def files(**changed: bytes | None) -> dict[str, bytes]:
    """The owners' archive in small; `Ebay_test=None` leaves that list out."""
    content: dict[str, bytes | None] = {f"{path}": photograph(row) for row, _, _, path in TRAIN + TEST}
    content |= {"Ebay_train.txt": listed(TRAIN), "Ebay_test.txt": listed(TEST), "README": b"x"}
    content |= {"Ebay_info.txt": listed(TRAIN + TEST), "bicycle_final.txt": b"251952414262 x\n"}
    content |= {f"{name}.txt": text for name, text in changed.items()}
    return {f"Stanford_Online_Products/{name}": data for name, data in content.items() if data is not None}


def write(folder: Path, form: str, content: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    if form == "zip":
        with zipfile.ZipFile(folder / "Stanford_Online_Products.zip", "w") as archive:
            for name, data in content.items():
                archive.writestr(name, data)
            archive.writestr("__MACOSX/Stanford_Online_Products/._Ebay_train.txt", b"litter")
    elif form == "tar.gz":
        with tarfile.open(folder / "Stanford_Online_Products.tar.gz", "w:gz") as archive:
            for name, data in content.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    else:
        for name, data in content.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
    return folder


def problem(folder: Path) -> str:
    with pytest.raises(InputError) as error:
        list(SOP().records(folder))
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("form", "found"),
    [
        ("zip", "Stanford_Online_Products.zip"),
        ("tar.gz", "Stanford_Online_Products.tar.gz"),
        ("folder", "extracted"),
    ],
)
def test_every_form_holds_the_same_records(tmp_path: Path, form: str, found: str) -> None:
    folder = write(tmp_path, form, files())
    assert SOP().find(folder) == found
    records = list(SOP().records(folder))
    assert {record.name: record.class_name for record in records} == EXPECTED
    assert {record.name: record.image for record in records} == {
        path: photograph(row) for row, _, _, path in TRAIN + TEST
    }
    if form != "tar.gz":
        assert records == sorted(records, key=lambda record: (record.class_name, record.name))


def test_the_inner_folder_can_be_given(tmp_path: Path) -> None:
    folder = write(tmp_path, "folder", files()) / "Stanford_Online_Products"
    assert SOP().find(folder) == "extracted"
    assert len(list(SOP().records(folder))) == 5
    assert SOP().find(tmp_path / "elsewhere") is None
    (tmp_path / "empty").mkdir()
    assert SOP().find(tmp_path / "empty") is None


@pytest.mark.parametrize("form", ["zip", "folder"])
def test_a_missing_list_or_image_is_named(tmp_path: Path, form: str) -> None:
    for name in ("Ebay_train", "Ebay_test"):
        said = problem(write(tmp_path / name, form, files(**{name: None})))
        assert f"{name}.txt is missing" in said
    content = files()
    del content["Stanford_Online_Products/mug_final/111265328556_0.JPG"]
    said = problem(write(tmp_path / "image", form, content))
    assert "1 of 5 listed images are missing" in said and "mug_final/111265328556_0.JPG" in said


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (listed(TEST, "image_id class_id path"), "Ebay_test.txt: has 'image_id class_id path' where"),
        (b"", "Ebay_test.txt: has nothing where"),
        (listed([]) + b"4 11319 1\n", "has the line '4 11319 1' and not 4 values"),
        (listed([]) + b"4 x 1 mug_final/a.JPG\n", "Ebay_test.txt has class_id 'x', no number"),
        (listed([*TEST, TEST[0]]), "251952414262_0.JPG' is listed twice"),
        (listed([(4, 2, 1, TEST[0][3])]), "class '00002' is in both train and test"),
    ],
)
def test_damaged_lists_are_one_clear_line(tmp_path: Path, rows: bytes, says: str) -> None:
    assert says in problem(write(tmp_path, "zip", files(Ebay_test=rows)))


def test_other_archives_are_refused(tmp_path: Path) -> None:
    assert "holds no Ebay_train.txt" in problem(write(tmp_path / "a", "zip", {"readme": b"x"}))
    archive = write(tmp_path / "b", "zip", files()) / "Stanford_Online_Products.zip"
    archive.write_bytes(archive.read_bytes()[:-100])
    assert "Stanford_Online_Products.zip" in problem(tmp_path / "b")
    said = problem(write(tmp_path / "c", "zip", files() | {"../evil.txt": b"x"}))
    assert "points outside the archive" in said


def test_it_packs_and_is_divided_by_its_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEWSHOT_DATA", str(tmp_path))
    monkeypatch.setattr(sop, "CLASSES", {"train": 2, "test": 1})
    write(tmp_path / "sop", "zip", files())
    images = catalogue.open_image_set(SOP(size=16, resize=20))
    assert images.images.shape == (5, 3, 16, 16)
    assert {
        name: images.class_names[label]
        for name, label in zip(images.names, images.labels.tolist(), strict=True)
    } == EXPECTED
    split = SOP().class_split(images.class_names)
    assert (split.train, split.val, split.test) == (("train/00001", "train/00002"), (), ("test/11319",))
    assert SOP().query_gallery(images.names) is None


def test_the_split_is_of_all_classes() -> None:
    train = [f"train/{number:05d}" for number in range(1, 11_319)]
    test = [f"test/{number:05d}" for number in range(11_319, 22_635)]
    split = SOP().class_split(test + train)
    assert (split.train, split.val, split.test) == (tuple(train), (), tuple(test))
    with pytest.raises(InputError, match=r"has 11,315 test classes, not 11,316"):
        SOP().class_split(train + test[1:])
