from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fewshot.data import catalogue
from fewshot.data.sources.inshop import InShop
from fewshot.errors import InputError

HEADER = "image_name item_id evaluation_status"
ROWS = [
    ("img/WOMEN/Dresses/id_00000002/02_1_front.jpg", "id_00000002", "train"),
    ("img/WOMEN/Dresses/id_00000002/02_2_side.jpg", "id_00000002", "train"),
    # Two categories have this item, with files of one name.
    ("img/WOMEN/Blouses_Shirts/id_00000065/01_1_front.jpg", "id_00000065", "query"),
    ("img/WOMEN/Pants/id_00000065/01_1_front.jpg", "id_00000065", "gallery"),
    ("img/MEN/Denim/id_00000080/01_1_front.jpg", "id_00000080", "gallery"),
    ("img/MEN/Denim/id_00000080/01_2_side.jpg", "id_00000080", "query"),
]
TOP = "In-shop Clothes Retrieval Benchmark"
EXPECTED = {
    f"{status}/{path.removeprefix('img/')}": f"{'train' if status == 'train' else 'test'}/{item}"
    for path, item, status in ROWS
}


def photograph(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (50, 50), (value, 0, 0)).save(buffer, "JPEG")
    return buffer.getvalue()


def listed(rows: list[tuple[str, str, str]] = ROWS, count: object = None, header: str = HEADER) -> bytes:
    """As the owner writes it: the number of images, the columns, and values in aligned columns."""
    lines = [f"{path:<70}{item:<14}{status:<8}" for path, item, status in rows]
    return "\n".join([str(len(rows) if count is None else count), header, *lines, ""]).encode()


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def images(rows: list[tuple[str, str, str]] = ROWS) -> dict[str, bytes]:
    return {path: photograph(10 * number) for number, (path, _, _) in enumerate(rows)}


def below(top: str, files: dict[str, bytes]) -> dict[str, bytes]:
    return {f"{top}/{name}": data for name, data in files.items()}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


LIST = "list_eval_partition.txt"
FORMS = {
    "extracted": images() | {LIST: listed()},
    "img.zip": {"img.zip": zipped(images()), LIST: listed()},
    "owner's folders": below(
        TOP, {"Img/img.zip": zipped(images()), f"Eval/{LIST}": listed(), "README.txt": b"x"}
    ),
    "owner's folders, extracted": below("Img", images()) | {f"Eval/{LIST}": listed()},
    "In-shop.zip": {"In-shop.zip": zipped(below(f"{TOP}/Img", images()) | {f"{TOP}/Eval/{LIST}": listed()})},
}
FOUND = dict.fromkeys(FORMS, "extracted") | {"img.zip": "img.zip", "owner's folders": "img.zip"}
FOUND |= {"In-shop.zip": "In-shop.zip"}


def problem(folder: Path) -> str:
    with pytest.raises(InputError) as error:
        list(InShop().records(folder))
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_holds_the_same_records(tmp_path: Path, form: str) -> None:
    folder = write(tmp_path, FORMS[form])
    assert InShop().find(folder) == FOUND[form]
    records = list(InShop().records(folder))
    assert {record.name: record.class_name for record in records} == EXPECTED
    assert {record.image for record in records} == set(images().values())
    by_name = {record.name: record.image for record in records}
    assert by_name["gallery/WOMEN/Pants/id_00000065/01_1_front.jpg"] == photograph(30)
    assert records == sorted(records, key=lambda record: (record.class_name, record.name))


def test_nothing_usable(tmp_path: Path) -> None:
    assert InShop().find(tmp_path / "elsewhere") is None
    assert InShop().find(write(tmp_path, {LIST: listed()})) is None


@pytest.mark.parametrize("form", ["extracted", "img.zip"])
def test_a_missing_list_or_image_is_named(tmp_path: Path, form: str) -> None:
    folder = write(tmp_path / "list", FORMS[form])
    (folder / LIST).unlink()
    assert f"{LIST} is missing" in problem(folder)
    fewer = images(ROWS[:-1])
    fewer = fewer if form == "extracted" else {"img.zip": zipped(fewer)}
    said = problem(write(tmp_path / "image", fewer | {LIST: listed()}))
    assert "1 of 6 listed images are missing, first 'MEN/Denim/id_00000080/01_2_side.jpg'" in said


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "has nothing where 'image_name item_id evaluation_status' must stand"),
        (listed(header="image_name item_id"), "has 'image_name item_id' where"),
        (listed().split(b"\n", 1)[1], "where 'image_name item_id evaluation_status' must stand"),
        (listed(count=52712), "its first line says '52712' images, 6 follow; it is cut off"),
        (listed(count="many"), "its first line says 'many' images"),
        (
            listed([*ROWS[:-1], (*ROWS[-1][:2], "val")]),
            "01_2_side.jpg has the status 'val', not one of train,",
        ),
        (listed([*ROWS[:-1], (*ROWS[-1][:2], "")]), "and not 3 values"),
        (listed([*ROWS, ROWS[0]]), "02_1_front.jpg' is listed twice"),
        (listed([*ROWS[:-1], (*ROWS[-1][:2], "train")]), "class 'id_00000080' is in both test and train"),
    ],
)
def test_damaged_lists_are_one_clear_line(tmp_path: Path, content: bytes, says: str) -> None:
    said = problem(write(tmp_path, images() | {LIST: content}))
    assert says in said and LIST in said


def test_a_cut_off_archive_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path, {"img.zip": zipped(images())[:-60], LIST: listed()})
    assert "img.zip: the archive cannot be read" in problem(folder)


def test_it_packs_and_its_names_say_what_searches_what(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEWSHOT_DATA", str(tmp_path))
    write(tmp_path / "inshop", FORMS["img.zip"])
    source = InShop(size=16, resize=20, protocol="retrieval")
    packed = catalogue.open_image_set(source)
    assert packed.images.shape == (6, 3, 16, 16)
    split = source.class_split(packed.class_names)
    assert (split.train, split.val) == (("train/id_00000002",), ())
    assert split.test == ("test/id_00000065", "test/id_00000080")
    divided = source.query_gallery(packed.names)
    assert divided is not None
    query, gallery = divided
    assert query.dtype == gallery.dtype == np.bool_
    for row, name in enumerate(packed.names):
        assert (query[row], gallery[row]) == (name.startswith("query/"), name.startswith("gallery/"))
        assert packed.class_names[int(packed.labels[row])] == EXPECTED[name]
    assert source.query_gallery([name for name in packed.names if name.startswith("train/")]) is None
    assert source.query_gallery([]) is None
