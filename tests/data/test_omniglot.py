from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fewshot.data import catalogue
from fewshot.data.class_lists import class_list
from fewshot.data.decoding import square
from fewshot.data.file_tree import open_tree
from fewshot.data.sources.omniglot import Omniglot
from fewshot.errors import InputError

CHARACTERS = {
    "images_background": ["Greek/character01", "Greek/character02"],
    "images_evaluation": ["ULOG/character26"],
}


def drawing(number: int) -> bytes:
    """White paper with one black stroke in the upper left quarter."""
    image = Image.new("1", (105, 105), 1)
    for step in range(20, 40):
        image.putpixel((step, 20 + number), 0)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def write(folder: Path, form: str, parts: dict[str, list[str]] = CHARACTERS) -> Path:
    folder.mkdir(parents=True)
    for part, characters in parts.items():
        files = {f"{part}/{name}/0001_{n:02d}.png": drawing(n) for name in characters for n in range(1, 4)}
        if form == "zips":
            with zipfile.ZipFile(folder / f"{part}.zip", "w") as archive:
                for name, content in files.items():
                    archive.writestr(name, content)
        for name, content in files.items() if form == "folders" else ():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
    return folder


def test_zips_and_folders_hold_the_same_records(tmp_path: Path) -> None:
    source = Omniglot()
    found = []
    for form in ("zips", "folders"):
        folder = write(tmp_path / form, form)
        assert source.find(folder) == form
        found.append({(r.class_name, r.name, np.asarray(r.image).tobytes()) for r in source.records(folder)})
    assert found[0] == found[1]
    assert len(found[0]) == 3 * 3 * 4
    assert source.find(tmp_path) is None


def test_torchvision_layout_is_found(tmp_path: Path) -> None:
    write(tmp_path / "omniglot-py", "folders")
    assert Omniglot().find(tmp_path) == "folders"


def test_ink_is_white_and_rotations_turn_counter_clockwise(tmp_path: Path) -> None:
    folder = write(tmp_path / "omniglot", "zips")
    plain = {record.name: record for record in Omniglot(rotations=False).records(folder)}
    turned = {record.name: record for record in Omniglot().records(folder)}
    original = np.asarray(plain["Greek/character01/0001_01.png"].image)
    assert original.shape == (105, 105, 1) and original[21, 30, 0] == 255 and original[80, 80, 0] == 0
    for degrees in (0, 90, 180, 270):
        record = turned[f"Greek/character01/rot{degrees:03d}/0001_01.png"]
        assert record.class_name == f"Greek/character01/rot{degrees:03d}"
        expected = Image.fromarray(original[:, :, 0]).rotate(degrees)
        np.testing.assert_array_equal(np.asarray(record.image)[:, :, 0], np.asarray(expected))
    quarter = square(turned["Greek/character01/rot090/0001_01.png"], Omniglot(), folder)
    assert quarter.shape == (1, 28, 28)
    assert quarter[0, 14:, :14].sum() == quarter.sum() > 0, (
        "a stroke of the upper left turns to the lower left"
    )


def test_keys() -> None:
    assert Omniglot().key == Omniglot(split="lake").key == "omniglot-28px-gray-rotations"
    assert Omniglot(rotations=False).key == "omniglot-28px-gray"


@pytest.mark.parametrize("split", ["vinyals", "lake"])
def test_split_with_rotations_keeps_a_character_in_one_part(split: str) -> None:
    lists = class_list(f"omniglot_{split}")
    characters = [*lists.train, *lists.val, *lists.test]
    names = [f"{name}/rot{degrees:03d}" for name in characters for degrees in (0, 90, 180, 270)]
    turned = Omniglot(split=split).class_split(names)
    assert len(turned.train) == 4 * len(lists.train) and len(turned.test) == 4 * len(lists.test)
    assert {name.rsplit("/", 1)[0] for name in turned.val} == set(lists.val)
    plain = Omniglot(split=split, rotations=False).class_split(characters)
    assert plain == lists


def test_with_one_part_only_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEWSHOT_DATA", str(tmp_path))
    background = {"images_background": CHARACTERS["images_background"]}
    write(tmp_path / "omniglot", "folders", background)
    source = Omniglot(rotations=False, split="lake")
    assert source.find(tmp_path / "omniglot") == "folders, images_background only"
    images = catalogue.open_image_set(source)
    assert images.class_names == ("Greek/character01", "Greek/character02")
    with pytest.raises(InputError, match="of the train part is not in the image set"):
        source.class_split(images.class_names)
    lists = class_list("omniglot_lake")
    split = source.class_split([*lists.train, *lists.val])
    with pytest.raises(InputError, match="test part has no classes"):
        split.part("test")


def test_real_archives_have_every_character_twenty_times(shared_data: Path) -> None:
    assert Omniglot().find(shared_data / "omniglot") == "zips"
    counts: dict[str, int] = {}
    for part in CHARACTERS:
        for name in open_tree(shared_data / "omniglot" / f"{part}.zip").names:
            character = "/".join(name.split("/")[1:3])
            counts[character] = counts.get(character, 0) + 1
    lists = class_list("omniglot_vinyals")
    assert set(counts) == {*lists.train, *lists.val, *lists.test}
    assert set(counts.values()) == {20}
