from __future__ import annotations

import importlib.util
import pickle
import shutil
import tarfile
import zipfile
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fewshot.data import catalogue
from fewshot.data.class_lists import class_list
from fewshot.data.source import PARTS
from fewshot.data.sources.cifar import FC100, Cifar100, CifarFS
from fewshot.errors import InputError

BERTINETTO = class_list("cifar100_bertinetto")
CLASSES = sorted((*BERTINETTO.train, *BERTINETTO.val, *BERTINETTO.test))


def rows(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(count).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def write_python(folder: Path, *, as_bytes: bool, protocol: int = 2) -> dict[str, NDArray[np.uint8]]:
    """Two training images and one test image a class; returns each image by its name."""

    def spell(text: str) -> str | bytes:
        return text.encode() if as_bytes else text

    folder.mkdir(parents=True)
    (folder / "meta").write_bytes(
        pickle.dumps({spell("fine_label_names"): [spell(name) for name in CLASSES]}, protocol)
    )
    images = {}
    for fold, count in (("train", 200), ("test", 100)):
        pixels = rows(count)
        labels = [row % 100 for row in range(count)]
        files = [f"{CLASSES[label]}_s_{row:06d}.png" for row, label in enumerate(labels)]
        content = {
            spell("data"): pixels.transpose(0, 3, 1, 2).reshape(count, 3072),
            spell("fine_labels"): labels,
            spell("filenames"): [spell(file) for file in files],
        }
        (folder / fold).write_bytes(pickle.dumps(content, protocol))
        for label, file, image in zip(labels, files, pixels, strict=True):
            images[f"{CLASSES[label]}/{fold}/{file}"] = image
    return images


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEWSHOT_DATA", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("form", ["folder", "folder itself", "archive"])
@pytest.mark.parametrize("as_bytes", [True, False])
def test_python_pickles(form: str, as_bytes: bool, root: Path) -> None:
    folder = root / "cifar100"
    expected = write_python(folder / "cifar-100-python", as_bytes=as_bytes)
    if form == "folder itself":
        folder = folder / "cifar-100-python"
    if form == "archive":
        with tarfile.open(folder / "cifar-100-python.tar.gz", "w:gz") as archive:
            archive.add(folder / "cifar-100-python", "cifar-100-python")
        shutil.rmtree(folder / "cifar-100-python")
    images = catalogue.open_image_set(CifarFS(path=str(folder)))
    assert images.class_names == tuple(CLASSES) and len(images) == 300
    for row, name in enumerate(images.names):
        np.testing.assert_array_equal(images.images[row].permute(1, 2, 0).numpy(), expected[name])
        assert images.class_names[int(images.labels[row])] == name.split("/")[0]


def test_three_sources_share_one_pack(root: Path) -> None:
    write_python(root / "fc100" / "cifar-100-python", as_bytes=True)
    target = catalogue.prepare(FC100())
    assert target.name == "cifar100-32px-rgb"
    for source in (CifarFS(), Cifar100()):
        assert catalogue.open_image_set(source).folder == target
    assert CifarFS().class_split(CLASSES) == BERTINETTO
    assert FC100().class_split(CLASSES) == class_list("cifar100_oreshkin")
    assert Cifar100().class_split(CLASSES).train == tuple(CLASSES)


def test_retrieval_is_the_first_and_the_last_fifty() -> None:
    split = Cifar100(protocol="retrieval").class_split(CLASSES[::-1])
    assert (split.train, split.val, split.test) == (tuple(CLASSES[:50]), (), tuple(CLASSES[50:]))
    assert (split.train[0], split.train[-1], split.test[0]) == ("apple", "mountain", "mouse")
    with pytest.raises(InputError, match="data=cifar100: the image set has 20 classes, not 100"):
        Cifar100(protocol="retrieval").class_split(BERTINETTO.test)


@pytest.mark.parametrize("zipped", [True, False])
def test_cifar_fs_class_folders(zipped: bool, root: Path) -> None:
    pixels = rows(100)
    folder = root / "cifar100" / "cifar100" / "data"
    for name, image in zip(CLASSES, pixels, strict=True):
        (folder / name).mkdir(parents=True)
        Image.fromarray(image).save(folder / name / f"{name}_s_000001.png")
    if zipped:
        with zipfile.ZipFile(root / "cifar100" / "cifar100.zip", "w") as archive:
            for path in folder.rglob("*.png"):
                archive.write(path, path.relative_to(root / "cifar100"))
        shutil.rmtree(root / "cifar100" / "cifar100")
    images = catalogue.open_image_set(CifarFS())
    assert images.manifest["form"] == "CIFAR-FS class folders"
    np.testing.assert_array_equal(images.images.permute(0, 2, 3, 1).numpy(), pixels)
    assert images.names[0] == "apple/apple_s_000001.png"


def write_fc100(folder: Path, parts: tuple[str, ...] = PARTS) -> dict[str, NDArray[np.uint8]]:
    folder.mkdir(parents=True, exist_ok=True)
    images = {}
    for part in parts:
        names = getattr(class_list("cifar100_oreshkin"), part)
        labels = [CLASSES.index(name) for name in names]
        pixels = rows(len(names))
        content = {"data": pixels, "labels": labels}
        (folder / f"FC100_{part}.pickle").write_bytes(pickle.dumps(content, 2))
        images |= dict(zip(names, pixels, strict=True))
    return images


def test_fc100_pickles(root: Path) -> None:
    expected = write_fc100(root / "fc100")
    images = catalogue.open_image_set(FC100())
    for label, name in enumerate(images.class_names):
        np.testing.assert_array_equal(images.images[label].permute(1, 2, 0).numpy(), expected[name])
    assert FC100().class_split(images.class_names) == class_list("cifar100_oreshkin")


def test_fc100_test_pickle_alone(root: Path) -> None:
    write_fc100(root / "fc100", ("test",))
    assert FC100().find(root / "fc100") == "FC100 pickles (test only)"
    split = FC100().class_split(catalogue.open_image_set(FC100()).class_names)
    assert split.train == () and split.test == class_list("cifar100_oreshkin").test


def test_fc100_pickles_with_other_labels_are_refused(root: Path) -> None:
    write_fc100(root / "fc100")
    path = root / "fc100" / "FC100_val.pickle"
    content = pickle.loads(path.read_bytes())
    path.write_bytes(pickle.dumps(content | {"labels": list(range(20))}))
    with pytest.raises(InputError, match=r"FC100_val\.pickle: its labels are not CIFAR-100's numbers"):
        catalogue.prepare(FC100())


def test_faults_are_named(root: Path) -> None:
    folder = root / "cifar100" / "cifar-100-python"
    write_python(folder, as_bytes=True)
    good = (folder / "train").read_bytes()
    (folder / "train").write_bytes(good[:5000])
    with pytest.raises(InputError, match="train: is damaged"):
        catalogue.prepare(CifarFS())
    (folder / "train").write_bytes(pickle.dumps(pickle.loads(good) | {b"data": rows(3)}))
    with pytest.raises(InputError, match="its data are not 200 RGB images"):
        catalogue.prepare(CifarFS())
    (folder / "train").write_bytes(good)
    (folder / "test").unlink()
    with pytest.raises(InputError, match="has no file 'test'"):
        catalogue.prepare(CifarFS())


def test_an_error_page_in_place_of_the_archive_is_named(root: Path) -> None:
    (root / "cifar100").mkdir()
    (root / "cifar100" / "cifar-100-python.tar.gz").write_bytes(b"<html>404</html>")
    with pytest.raises(InputError, match=r"cifar-100-python\.tar\.gz: the archive cannot be read"):
        catalogue.prepare(CifarFS())


def test_real_images_as_class_folders(shared_data: Path, root: Path) -> None:
    """Two validation classes, 600 images each, in the layout of the original CIFAR-FS archive."""
    spec = importlib.util.spec_from_file_location("mosaic", shared_data / "mosaic.py")
    assert spec is not None and spec.loader is not None
    mosaic = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(mosaic)
    expected = {}
    pictures = mosaic.classes(shared_data / "cifar100" / "cifarfs_val.zip")
    for _, name, files, pixels in islice(pictures, 2):
        folder = root / "cifar100" / "cifar100" / "data" / name
        folder.mkdir(parents=True)
        for (_, file), image in zip(files, pixels, strict=True):
            Image.fromarray(image).save(folder / file, compress_level=1)
            expected[f"{name}/{file}"] = image
    images = catalogue.open_image_set(CifarFS())
    assert set(images.class_names) < set(BERTINETTO.val)
    assert images.images_of_class.counts.tolist() == [600, 600]
    for row, name in enumerate(images.names):
        np.testing.assert_array_equal(images.images[row].permute(1, 2, 0).numpy(), expected[name])
    with pytest.raises(InputError, match=r"of the val part .* \(14 of 16 are absent\)"):
        CifarFS().class_split(images.class_names)
