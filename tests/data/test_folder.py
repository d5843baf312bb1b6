from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fewshot.data import catalogue
from fewshot.data.image_folders import list_images, printable, read_split_file
from fewshot.data.sources.folder import ImageFolder
from fewshot.errors import InputError


def image(path: Path, value: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 16), (value, 30, 30)).save(path)


def classes(root: Path, *names: str, images: int = 2) -> Path:
    for name in names:
        for number in range(images):
            image(root / name / f"{number}.png", 10 * number)
    return root


def found(source: ImageFolder, folder: Path) -> dict[str, set[str]]:
    listed: dict[str, set[str]] = {}
    for record in source.records(folder):
        listed.setdefault(record.class_name, set()).add(record.name)
    return listed


def test_a_class_is_the_folder_of_its_images_however_deep(tmp_path: Path) -> None:
    classes(tmp_path, "owl", "birds/owl", "birds/sea birds/gull")
    assert ImageFolder().find(tmp_path) == "6 images in 3 class folders"
    assert found(ImageFolder(), tmp_path) == {
        name: {f"{name}/0.png", f"{name}/1.png"} for name in ("owl", "birds/owl", "birds/sea birds/gull")
    }


def test_what_is_no_image_is_skipped_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    classes(tmp_path, "owl", "gull")
    image(tmp_path / "cover.png")
    for name in (
        "owl/notes.txt",
        "owl/Thumbs.db",
        "readme.md",
        ".git/a.png",
        "owl/.hidden.png",
        "empty/x.csv",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"text")
    assert ImageFolder().find(tmp_path) == "4 images in 2 class folders"
    with caplog.at_level(logging.WARNING):
        assert set(found(ImageFolder(), tmp_path)) == {"owl", "gull"}
    assert "skipped 4 files: not images" in caplog.text
    assert "skipped 1 files: images in no class folder" in caplog.text


def test_all_image_endings_count_in_any_case(tmp_path: Path) -> None:
    for name in ("a.JPG", "b.jpeg", "c.Png", "d.webp", "e.bmp", "f.tif"):
        image(tmp_path / "owl" / name)
    assert len(found(ImageFolder(), tmp_path)["owl"]) == 6


def test_nothing_there(tmp_path: Path) -> None:
    assert ImageFolder().find(tmp_path / "no") is None
    (tmp_path / "owl").mkdir()
    (tmp_path / "owl" / "x.txt").write_text("text")
    assert ImageFolder().find(tmp_path) is None


def test_odd_names_pack_and_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEWSHOT_DATA", str(tmp_path / "data"))
    root = tmp_path / "mine"
    classes(root, "Mäuse 🐭", "new\nline", "tab\there", " space ")
    image(root / "Mäuse 🐭" / "two\nlines.png")
    broken = os.fsencode(root) + b"/latin-\xe9"
    os.mkdir(broken)
    os.rename(root / "new\nline" / "0.png", os.fsdecode(broken + b"/0.png"))
    source = ImageFolder(size=16, path=str(root))
    images = catalogue.open_image_set(source)
    assert images.class_names == tuple(
        sorted(["Mäuse 🐭", "new\\nline", "tab\\there", " space ", "latin-\\xe9"])
    )
    assert "Mäuse 🐭/two\\nlines.png" in images.names
    assert len(images.names) == len(images) == 9
    assert all(not set(name) & set("\n\r") for name in images.names)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain é", "plain é"),
        ("a\r\nb", "a\\r\\nb"),
        ("\udce9", "\\xe9"),
        ("\u2028", "\\u2028"),
        ("\ud800", "\\ud800"),
    ],
)
def test_printable(name: str, shown: str) -> None:
    assert printable(name) == shown


def test_two_folders_of_one_printable_name_are_refused(tmp_path: Path) -> None:
    classes(tmp_path, "a\nb", "a\\nb")
    with pytest.raises(InputError, match="two folders are called"):
        list_images(tmp_path)


def test_links_are_followed_once(tmp_path: Path) -> None:
    root = classes(tmp_path / "mine", "owl")
    classes(tmp_path / "elsewhere", "gull")
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "owl" / "round").symlink_to(root)
    assert set(found(ImageFolder(), root)) == {"owl", "linked/gull"}


@pytest.mark.parametrize("val", ["val", "valid", "Validation"])
def test_parts_are_taken_from_top_folders(tmp_path: Path, val: str) -> None:
    classes(tmp_path, "train/owl", "train/sea/gull", f"{val}/wren", "test/jay")
    source = ImageFolder()
    names = sorted(found(source, tmp_path))
    split = source.class_split(names)
    assert (split.train, split.val, split.test) == (
        ("train/owl", "train/sea/gull"),
        (f"{val}/wren",),
        ("test/jay",),
    )


def test_a_folder_called_train_among_vehicles_is_a_class(tmp_path: Path) -> None:
    classes(tmp_path, "train", "test", "bus/red", "car")
    source = ImageFolder()
    names = sorted(found(source, tmp_path))
    assert names == ["bus/red", "car", "test", "train"]
    assert (
        sorted(
            source.class_split(names).train + source.class_split(names).val + source.class_split(names).test
        )
        == names
    )


def test_parts_need_all_top_folders_to_be_parts(tmp_path: Path) -> None:
    classes(tmp_path, "train/red", "test/blue", "bus/red")
    names = sorted(found(ImageFolder(), tmp_path))
    split = ImageFolder().class_split(names)
    assert sorted(split.train + split.val + split.test) == names


def test_the_same_class_in_two_parts_is_refused_and_seeded_merges_it(tmp_path: Path) -> None:
    classes(tmp_path, "train/owl", "train/gull", "test/owl", "test/gull", "train/wren")
    for action in (
        lambda: list(ImageFolder().records(tmp_path)),
        lambda: ImageFolder().class_split(["test/owl", "train/gull", "train/owl"]),
    ):
        with pytest.raises(
            InputError, match=r"'(owl|gull)' is in both (train|test)/ and (train|test)/.*seeded"
        ):
            action()
    seeded = ImageFolder(split="seeded")
    merged = found(seeded, tmp_path)
    assert {name: len(files) for name, files in merged.items()} == {"gull": 4, "owl": 4, "wren": 2}
    assert merged["owl"] >= {"train/owl/0.png", "test/owl/0.png"}
    assert seeded.key != ImageFolder().key


@pytest.mark.parametrize(
    ("fractions", "count", "expected"),
    [
        ((0.6, 0.2, 0.2), 10, (6, 2, 2)),
        ((0.6, 0.2, 0.2), 3, (1, 1, 1)),
        ((0.6, 0.2, 0.2), 4, (2, 1, 1)),
        ((0.64, 0.16, 0.2), 100, (64, 16, 20)),
        ((0.5, 0.0, 0.5), 7, (4, 0, 3)),
        ((0.0, 0.0, 1.0), 5, (0, 0, 5)),
        ((0.1, 0.1, 0.1), 100, (10, 10, 10)),
        ((0.98, 0.01, 0.01), 20, (18, 1, 1)),
        ((1 / 3, 1 / 3, 1 / 3), 7, (3, 2, 2)),
    ],
)
def test_fractions(fractions: tuple[float, float, float], count: int, expected: tuple[int, int, int]) -> None:
    split = ImageFolder(fractions=fractions).class_split([f"{n:03d}" for n in range(count)])
    assert (len(split.train), len(split.val), len(split.test)) == expected


def test_the_drawn_split_depends_on_its_seed() -> None:
    names = [f"{number:03d}" for number in range(50)]
    assert ImageFolder().class_split(names) == ImageFolder().class_split(names[::-1])
    assert ImageFolder(split_seed=1).class_split(names) != ImageFolder().class_split(names)


def test_too_few_classes_and_wrong_fractions() -> None:
    with pytest.raises(InputError, match="2 classes cannot be divided into 3 parts"):
        ImageFolder().class_split(["a", "b"])
    for wrong in ((0.5, 0.5), (0.8, 0.3, 0.1), (-0.1, 0.5, 0.5), (0, 0, 0)):
        with pytest.raises(InputError, match="fractions"):
            ImageFolder(fractions=wrong)  # type: ignore[arg-type]


def test_a_split_file(tmp_path: Path) -> None:
    names = ["birds/owl", "gull", "jay", "wren"]
    file = tmp_path / "birds.txt"
    file.write_text("# mine\n[train]\nbirds/owl\njay\n\n[test]\ngull\n", encoding="utf-8")
    for source in (ImageFolder(split=str(file)), ImageFolder(split="birds.txt", path=str(tmp_path))):
        split = source.class_split(names)
        assert (split.train, split.val, split.test) == (("birds/owl", "jay"), (), ("gull",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[train]\nowl\njay\n[test]\ngull\n", "'jay' of the train part is not in the image set"),
        ("[train]\nowl\n[test]\nowl\n", "'owl' is in both train and test"),
        ("owl\n", r"line 1: 'owl' comes before"),
        ("[train]\nowl\n[training]\n", r"line 3: \[training\] must be one of"),
    ],
)
def test_a_wrong_split_file_is_one_clear_line(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "split.txt"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message) as error:
        ImageFolder(split=str(file)).class_split(["owl", "gull"])
    assert "\n" not in str(error.value)


def test_a_split_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no-such-split"):
        ImageFolder(split="no-such-split").class_split(["owl"])
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read as UTF-8"):
        read_split_file(tmp_path / "binary")


def test_it_packs_and_folders_have_packs_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEWSHOT_DATA", str(tmp_path / "data"))
    one, two = classes(tmp_path / "one", "a", "b", "c"), classes(tmp_path / "two", "d", "e", "f")
    sources = [ImageFolder(size=16, path=str(root)) for root in (one, two)]
    assert sources[0].key != sources[1].key
    sets = [catalogue.open_image_set(source) for source in sources]
    assert [images.class_names for images in sets] == [("a", "b", "c"), ("d", "e", "f")]
    assert np.asarray(sets[0].images[1]).shape == (3, 16, 16)


def test_prepare_notices_new_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEWSHOT_DATA", str(tmp_path / "data"))
    source = ImageFolder(size=16, path=str(classes(tmp_path / "mine", "a", "b", "c")))
    catalogue.prepare(source)
    classes(tmp_path / "mine", "d")
    catalogue.prepare(source)
    assert catalogue.open_image_set(source).class_names == ("a", "b", "c", "d")


def test_a_broken_image_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEWSHOT_DATA", str(tmp_path / "data"))
    root = classes(tmp_path / "mine", "a", "b", "c")
    (root / "b" / "broken.jpg").write_bytes(b"\xff\xd8 not an image")
    with pytest.raises(InputError, match=r"b/broken\.jpg"):
        catalogue.open_image_set(ImageFolder(size=16, path=str(root)))
