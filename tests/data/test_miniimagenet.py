from __future__ import annotations

import importlib.util
import io
import pickle
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fewshot.data import catalogue
from fewshot.data.class_lists import class_list, image_list
from fewshot.data.source import PARTS
from fewshot.data.sources import miniimagenet
from fewshot.data.sources.miniimagenet import MiniImageNet
from fewshot.errors import InputError

RAVI = class_list("miniimagenet_ravi")
VINYALS = class_list("miniimagenet_vinyals")


def jpeg(seed: int, width: int = 84, height: int = 84) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def write_pickles(folder: Path, parts: tuple[str, ...] = PARTS) -> dict[str, np.ndarray]:
    """Two images a class, interleaved, so that rows are not in the order of classes."""
    folder.mkdir(parents=True, exist_ok=True)
    images = {}
    for part in parts:
        classes = getattr(RAVI, part)
        n = len(classes)
        data = np.random.default_rng(n).integers(0, 256, (2 * n, 84, 84, 3), dtype=np.uint8)
        content = {"image_data": data, "class_dict": {wnid: [c, c + n] for c, wnid in enumerate(classes)}}
        (folder / f"mini-imagenet-cache-{part}.pkl").write_bytes(pickle.dumps(content, 2))
        images |= {wnid: data[[c, c + n]] for c, wnid in enumerate(classes)}
    return images


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEWSHOT_DATA", str(tmp_path))
    return tmp_path


def test_cache_pickles(root: Path) -> None:
    expected = write_pickles(root / "miniimagenet")
    images = catalogue.open_image_set(MiniImageNet())
    assert images.manifest["form"] == "cache pickles"
    assert images.class_names == tuple(sorted(expected))
    for label, wnid in enumerate(images.class_names):
        rows = images.images_of_class.rows[label]
        np.testing.assert_array_equal(images.gather(rows).permute(0, 2, 3, 1).numpy(), expected[wnid])
    assert MiniImageNet().class_split(images.class_names) == RAVI


def test_validation_pickle_alone_is_said_clearly(root: Path) -> None:
    write_pickles(root / "miniimagenet", ("val",))
    assert "found cache pickles (val only)" in catalogue.status(MiniImageNet()).line()
    images = catalogue.open_image_set(MiniImageNet())
    split = MiniImageNet().class_split(images.class_names)
    assert split.part("val") == RAVI.val
    with pytest.raises(InputError, match="train part has no classes"):
        split.part("train")
    write_pickles(root / "miniimagenet")
    catalogue.prepare(MiniImageNet())
    assert len(catalogue.open_image_set(MiniImageNet()).class_names) == 100


def test_a_damaged_pickle_names_the_row(root: Path) -> None:
    path = root / "miniimagenet" / "mini-imagenet-cache-train.pkl"
    content = {"image_data": np.zeros((1, 84, 84, 3), np.uint8), "class_dict": {"n01532829": [0, 1]}}
    write(path, pickle.dumps(content))
    with pytest.raises(InputError, match=r"cache-train\.pkl: class 'n01532829' names row 1 of 1"):
        catalogue.prepare(MiniImageNet())


@pytest.mark.parametrize("by_part", [True, False])
def test_class_folders(by_part: bool, root: Path) -> None:
    for part in PARTS:
        for wnid in getattr(RAVI, part):
            folder = root / "miniimagenet" / (part if by_part else "") / wnid
            write(folder / f"{wnid}00000005.jpg", jpeg(1))
            write(folder / ".hidden.jpg", b"")
    source = MiniImageNet()
    assert source.find(root / "miniimagenet") == "class folders"
    records = list(source.records(root / "miniimagenet"))
    assert [record.name for record in records[:1]] == ["n01532829/n0153282900000005.jpg"]
    assert source.class_split([record.class_name for record in records]) == RAVI


def test_images_with_csvs(root: Path) -> None:
    folder = root / "miniimagenet"
    for part in PARTS:
        lines = ["filename,label"]
        for wnid in getattr(RAVI, part):
            write(folder / "images" / f"{wnid}00000001.jpg", jpeg(2))
            lines.append(f"{wnid}00000001.jpg,{wnid}")
        (folder / f"{part}.csv").write_text("\n".join(lines) + "\n")
    source = MiniImageNet()
    assert source.find(folder) == "images and CSVs"
    assert source.class_split([record.class_name for record in source.records(folder)]) == RAVI
    (folder / "images" / "n0153282900000001.jpg").unlink()
    with pytest.raises(InputError, match=r"n0153282900000001\.jpg: cannot be read"):
        list(source.records(folder))
    (folder / "train.csv").write_text("name;class\n")
    with pytest.raises(InputError, match="first line must be 'filename,label'"):
        list(source.records(folder))


@pytest.mark.parametrize(("name", "split"), [("ravi", RAVI), ("vinyals", VINYALS)])
@pytest.mark.parametrize("place", ["train", "ILSVRC/Data/CLS-LOC/train"])
def test_imagenet_folders_give_the_listed_images_of_the_training_part(
    name: str, split: object, place: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first three of the 600 listed images of each class keep the test small.
    short = {wnid: names[:3] for wnid, names in image_list(f"miniimagenet_{name}_images").items()}
    monkeypatch.setattr(miniimagenet, "image_list", lambda _: short)
    folder = root / "imagenet"
    photo = jpeg(3, 60, 50)
    for wnid, names in short.items():
        for file in (*names, f"{wnid}_999999.JPEG"):
            write(folder / place / wnid / file, photo)
        write(folder / "val" / wnid / "ILSVRC2012_val_00000001.JPEG", photo)
    source = MiniImageNet(split=name, path=str(folder), size=8)
    assert source.find(folder) == "ILSVRC2012 folders"
    images = catalogue.open_image_set(source)
    assert set(images.names) == {f"{wnid}/{file}" for wnid, names in short.items() for file in names}
    assert source.class_split(images.class_names) == split
    missing = short[VINYALS.train[0] if name == "vinyals" else RAVI.train[0]][1]
    next(folder.glob(f"{place}/*/{missing}")).unlink()
    with pytest.raises(InputError, match=missing):
        list(source.records(folder))


def test_vinyals_is_another_pack_and_is_not_in_the_pickles(root: Path) -> None:
    write_pickles(root / "miniimagenet")
    source = MiniImageNet(split="vinyals")
    assert source.key == "miniimagenet-84px-rgb-vinyals" != MiniImageNet().key
    assert source.find(root / "miniimagenet") is None


def test_an_empty_class_folder_and_an_absent_class_are_named(root: Path) -> None:
    folder = root / "miniimagenet"
    for wnid in RAVI.train[1:]:
        write(folder / wnid / "1.jpg", jpeg(1))
    source = MiniImageNet()
    assert source.find(folder) == "class folders (train only)"
    with pytest.raises(InputError, match=rf"class '{RAVI.train[0]}' of the train part .*1 of 64"):
        source.class_split([record.class_name for record in source.records(folder)])
    (folder / RAVI.train[0]).mkdir()
    with pytest.raises(InputError, match=rf"{RAVI.train[0]}: this class has no images"):
        list(source.records(folder))


def test_nothing_usable(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    assert MiniImageNet().find(tmp_path) is None
    assert MiniImageNet().find(tmp_path / "nowhere") is None


def test_real_images_survive_the_pickle_to_the_bit(shared_data: Path, root: Path) -> None:
    spec = importlib.util.spec_from_file_location("mosaic", shared_data / "mosaic.py")
    assert spec is not None and spec.loader is not None
    mosaic = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(mosaic)
    pictures = mosaic.classes(shared_data / "miniimagenet" / "miniimagenet_val.zip")
    images, rows = [], {}
    for _, wnid, _, pixels in islice(pictures, 2):
        rows[wnid] = range(600 * len(images), 600 * len(images) + 600)
        images.append(pixels)
    content = {"image_data": np.concatenate(images), "class_dict": {c: list(r) for c, r in rows.items()}}
    write(root / "miniimagenet" / "mini-imagenet-cache-val.pkl", pickle.dumps(content, 4))
    packed = catalogue.open_image_set(MiniImageNet())
    assert packed.images.shape == (1200, 3, 84, 84)
    for wnid, pixels in zip(rows, images, strict=True):
        assert wnid in RAVI.val
        label = packed.class_names.index(wnid)
        got = packed.gather(packed.images_of_class.rows[label]).permute(0, 2, 3, 1)
        np.testing.assert_array_equal(got.numpy(), pixels)
