"""CIFAR-10 and the downsampled ImageNet, from files in exactly their owners' layout."""

from __future__ import annotations

import pickle
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fewshot.data import catalogue
from fewshot.data.sources.cifar10 import Cifar10
from fewshot.data.sources.imagenet32 import ImageNet32
from fewshot.errors import InputError

CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEWSHOT_DATA", str(tmp_path))
    return tmp_path


def rows(count: int, seed: int) -> NDArray[np.uint8]:
    """Images [n, 32, 32, 3]."""
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def as_rows(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[n, 3072]: all of red, then green, then blue."""
    return np.stack([np.concatenate([image[:, :, c].ravel() for c in range(3)]) for image in images])


def write_cifar10(folder: Path) -> dict[str, NDArray[np.uint8]]:
    folder.mkdir(parents=True)
    meta = {b"num_cases_per_batch": 10000, b"label_names": [n.encode() for n in CIFAR10], b"num_vis": 3072}
    (folder / "batches.meta").write_bytes(pickle.dumps(meta, 2))
    (folder / "readme.html").write_text("")
    images = {}
    for number, file in enumerate([*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]):
        pixels, labels = rows(20, number), [(row + number) % 10 for row in range(20)]
        names = [f"{CIFAR10[label]}_s_{number}{row:05d}.png" for row, label in enumerate(labels)]
        content = {
            b"batch_label": f"batch {number}".encode(),
            b"labels": labels,
            b"data": as_rows(pixels),
            b"filenames": [name.encode() for name in names],
        }
        (folder / file).write_bytes(pickle.dumps(content, 2))
        fold = "test" if file == "test_batch" else "train"
        for label, name, image in zip(labels, names, pixels, strict=True):
            images[f"{CIFAR10[label]}/{fold}/{name}"] = image
    return images


@pytest.mark.parametrize("archive", [True, False])
def test_cifar10(archive: bool, root: Path) -> None:
    expected = write_cifar10(root / "cifar10" / "cifar-10-batches-py")
    if archive:
        with tarfile.open(root / "cifar10" / "cifar-10-python.tar.gz", "w:gz") as file:
            file.add(root / "cifar10" / "cifar-10-batches-py", "cifar-10-batches-py")
        (root / "cifar10" / "cifar-10-batches-py").rename(root / "elsewhere")
    images = catalogue.open_image_set(Cifar10())
    assert images.class_names == tuple(CIFAR10) and len(images) == 120
    for row, name in enumerate(images.names):
        np.testing.assert_array_equal(images.images[row].permute(1, 2, 0).numpy(), expected[name])
        assert CIFAR10[int(images.labels[row])] == name.split("/")[0]
    test = Cifar10().test_images(images.names)
    assert test is not None and test.sum() == 20
    assert test.tolist() == ["/test/" in name for name in images.names]
    assert Cifar10().class_split(images.class_names).train == tuple(CIFAR10)


def test_cifar10_without_a_batch_names_it(root: Path) -> None:
    write_cifar10(root / "cifar10")
    (root / "cifar10" / "data_batch_4").unlink()
    with pytest.raises(InputError, match="has no file 'data_batch_4' of CIFAR-10"):
        catalogue.prepare(Cifar10())


def write_imagenet32(folder: Path, **change: Any) -> dict[str, NDArray[np.uint8]]:
    """Three training batches (one is the tenth) and the validation images; labels count from 1."""
    images = {}
    for number, file in enumerate(
        ["train_data_batch_1", "train_data_batch_2", "train_data_batch_10", "val_data"]
    ):
        place = folder / ("Imagenet32_val" if file == "val_data" else "Imagenet32_train")
        place.mkdir(parents=True, exist_ok=True)
        pixels, labels = rows(6, number), [1, 1000, 37, 1, 37, 1000]
        content = {"data": as_rows(pixels), "labels": labels}
        if file != "val_data":
            content["mean"] = as_rows(pixels).mean(0)  # type: ignore[assignment]
        (place / file).write_bytes(pickle.dumps({**content, **change}, 2))
        fold = "test" if file == "val_data" else "train"
        for row, (label, image) in enumerate(zip(labels, pixels, strict=True)):
            images[f"{label:04d}/{fold}/{file}-{row:06d}"] = image
    return images


@pytest.mark.parametrize("form", ["folders", "one folder", "zips"])
def test_imagenet32(form: str, root: Path) -> None:
    folder = root / "imagenet32"
    expected = write_imagenet32(folder)
    for name in ("Imagenet32_train", "Imagenet32_val"):
        if form == "zips":
            with zipfile.ZipFile(folder / f"{name}.zip", "w") as file:
                for path in (folder / name).iterdir():
                    file.write(path, path.name)
        if form != "folders":
            for path in (folder / name).iterdir():
                path.rename((folder if form == "one folder" else root) / path.name)
            (folder / name).rmdir()
    assert ImageNet32().find(folder) == "4 pickled batches"
    images = catalogue.open_image_set(ImageNet32())
    assert images.class_names == ("0001", "0037", "1000")
    assert sorted(images.names) == sorted(expected)
    for row, name in enumerate(images.names):
        np.testing.assert_array_equal(images.images[row].permute(1, 2, 0).numpy(), expected[name])
    test = ImageNet32().test_images(images.names)
    assert test is not None and test.tolist() == ["/test/" in name for name in images.names]
    assert ImageNet32().test_images([name for name in images.names if "/train/" in name]) is None


def test_imagenet32_that_is_not_there_or_damaged(root: Path) -> None:
    assert ImageNet32().find(root / "imagenet32") is None
    with pytest.raises(InputError, match=r"Imagenet32_train\.zip and Imagenet32_val\.zip"):
        catalogue.prepare(ImageNet32())
    write_imagenet32(root / "imagenet32", labels=[0, 1, 2, 3, 4, 5])
    with pytest.raises(InputError, match="its labels are not from 1 to 1000"):
        catalogue.prepare(ImageNet32())
    write_imagenet32(root / "imagenet32", data=np.zeros((6, 100), np.uint8))
    with pytest.raises(InputError, match="its data are not 6 RGB images of 32 x 32 pixels"):
        catalogue.prepare(ImageNet32())
