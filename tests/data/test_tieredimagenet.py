from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fewshot.data import catalogue
from fewshot.data.class_lists import class_list
from fewshot.data.source import PARTS
from fewshot.data.sources.tieredimagenet import TieredImageNet
from fewshot.errors import InputError

REN = class_list("tieredimagenet_ren")


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((84, 84, 3), value, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def write_pickles(folder: Path, *, words: bool, as_bytes: bool) -> None:
    """Two images a class in mixed order; the value of an image is its label modulo 256, plus one."""
    folder.mkdir(parents=True)
    for part in PARTS:
        classes = getattr(REN, part)
        # Two classes of ImageNet are called "crane".
        names = ["crane"] * len(classes) if words else list(classes)
        labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(classes)), 2))
        images = [np.frombuffer(png((label + 1) % 256), np.uint8) for label in labels]
        content = {"label_specific": labels, "label_specific_str": names}
        if as_bytes:
            content = {key.encode(): value for key, value in content.items()}
            content[b"label_specific_str"] = [name.encode() for name in names]
        (folder / f"{part}_labels.pkl").write_bytes(pickle.dumps(content, 2))
        (folder / f"{part}_images_png.pkl").write_bytes(pickle.dumps(images, 2))


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEWSHOT_DATA", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("as_bytes", [True, False])
def test_png_pickles_by_wordnet_id(as_bytes: bool, root: Path) -> None:
    write_pickles(root / "tieredimagenet", words=False, as_bytes=as_bytes)
    images = catalogue.open_image_set(TieredImageNet(size=8))
    assert len(images) == 2 * 608 and images.manifest["form"] == "PNG pickles"
    split = TieredImageNet().class_split(images.class_names)
    assert split == REN
    for number, wnid in enumerate(REN.val):
        label = images.class_names.index(wnid)
        assert images.gather(images.images_of_class.rows[label]).unique().tolist() == [number + 1]


def test_png_pickles_by_words_keep_equal_words_apart(root: Path) -> None:
    write_pickles(root / "tieredimagenet", words=True, as_bytes=False)
    images = catalogue.open_image_set(TieredImageNet(size=8))
    split = TieredImageNet().class_split(images.class_names)
    assert (len(split.train), len(split.val), len(split.test)) == (351, 97, 160)
    assert split.test[3] == "test/003-crane"


def test_class_folders(root: Path) -> None:
    for wnid in (*REN.train, *REN.val):
        path = root / "tieredimagenet" / "train" / wnid / f"{wnid}_1.JPEG"
        path.parent.mkdir(parents=True)
        path.write_bytes(png(1))
    source = TieredImageNet()
    assert source.find(root / "tieredimagenet") == "class folders (train and val only)"
    split = source.class_split([record.class_name for record in source.records(root / "tieredimagenet")])
    assert split.train == REN.train and split.val == REN.val and split.test == ()


def test_labels_that_do_not_fit_are_named(root: Path) -> None:
    folder = root / "tieredimagenet"
    write_pickles(folder, words=False, as_bytes=False)
    images = pickle.loads((folder / "val_images_png.pkl").read_bytes())
    (folder / "val_images_png.pkl").write_bytes(pickle.dumps(images[:-1]))
    with pytest.raises(InputError, match=r"val_images_png\.pkl: has 193 images for 194 labels"):
        list(TieredImageNet().records(folder))
    (folder / "train_labels.pkl").write_bytes(
        pickle.dumps({"label_specific": np.full(702, 351), "label_specific_str": list(REN.train)})
    )
    with pytest.raises(InputError, match=r"train_labels\.pkl: has labels outside its 351 classes"):
        list(TieredImageNet().records(folder))
