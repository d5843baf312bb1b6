"""learn2learn's benchmarks from files in their original layout, through its own data sets."""

from __future__ import annotations

import importlib.util
import io
import os
import pickle
import zipfile
from hashlib import md5
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fewshot.data import catalogue
from fewshot.data.sources.learn2learn import BENCHMARKS, Learn2Learn
from fewshot.errors import InputError

HAVE = importlib.util.find_spec("learn2learn") is not None
needs_learn2learn = pytest.mark.skipif(not HAVE, reason="its data sets read the files: make learn2learn")


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEWSHOT_DATA", str(tmp_path))
    return tmp_path


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, dtype=np.uint8)


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def mini_imagenet(root: Path, pixels: np.ndarray) -> None:
    """Four images of two classes a part, interleaved."""
    content = {"image_data": pixels, "class_dict": {"n02": [0, 2], "n01": [1, 3]}}
    for mode in ("train", "validation", "test"):
        (root / f"mini-imagenet-cache-{mode}.pkl").write_bytes(pickle.dumps(content, 2))


def tiered_imagenet(root: Path, pixels: np.ndarray) -> None:
    (root / "tiered-imagenet").mkdir()
    for part in ("train", "val", "test"):
        files = [np.frombuffer(png(image), dtype=np.uint8) for image in pixels]
        (root / f"tiered-imagenet/{part}_images_png.pkl").write_bytes(pickle.dumps(files))
        labels = {"label_specific": np.array([0, 1, 0, 1]), "label_specific_str": ["a", "b"]}
        (root / f"tiered-imagenet/{part}_labels.pkl").write_bytes(pickle.dumps(labels))


def cifarfs(root: Path, pixels: np.ndarray) -> None:
    for part in ("train", "val", "test"):
        for row, image in enumerate(pixels):
            path = root / f"cifarfs/processed/{part}/{'ab'[row % 2]}/{row}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(image))


def fc100(root: Path, pixels: np.ndarray) -> None:
    for part in ("train", "val", "test"):
        content = {"data": pixels, "labels": [0, 1, 0, 1]}
        (root / f"FC100_{part}.pickle").write_bytes(pickle.dumps(content))


WRITERS = {"mini-imagenet": (mini_imagenet, 84), "tiered-imagenet": (tiered_imagenet, 84)}
WRITERS |= {"cifarfs": (cifarfs, 32), "fc100": (fc100, 32)}


@needs_learn2learn
@pytest.mark.parametrize("benchmark", WRITERS)
@pytest.mark.parametrize("below", ["", "learn2learn"])
def test_pixels_classes_and_split(benchmark: str, below: str, root: Path) -> None:
    write, size = WRITERS[benchmark]
    (root / below).mkdir(exist_ok=True)
    pixels = drawn(4, size, size, 3)
    write(root / below, pixels)
    source = Learn2Learn(benchmark=benchmark)
    images = catalogue.open_image_set(source)
    assert (source.size, source.channels) == (size, 3)
    assert images.class_names == tuple(f"{part}/000{n}" for part in ("test", "train", "val") for n in (0, 1))
    for part in ("test", "train", "val"):
        of_class = [
            images.gather(images.images_of_class.rows[n]).numpy()
            for n in images.class_indices([f"{part}/0000", f"{part}/0001"])
        ]
        for found, rows in zip(of_class, ([0, 2], [1, 3]), strict=True):
            np.testing.assert_array_equal(found, pixels[rows].transpose(0, 3, 1, 2))
    split = source.class_split(images.class_names)
    assert split.train == ("train/0000", "train/0001") and split.val == ("val/0000", "val/0001")


@needs_learn2learn
def test_a_missing_part_is_an_empty_part(root: Path) -> None:
    mini_imagenet(root, drawn(4, 84, 84, 3))
    (root / "mini-imagenet-cache-test.pkl").unlink()
    images = catalogue.open_image_set(Learn2Learn())
    assert images.manifest["form"] == "mini-imagenet of learn2learn (train and val only)"
    assert Learn2Learn().class_split(images.class_names).test == ()


@needs_learn2learn
def test_omniglot_as_torchvision_has_it(
    root: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some characters of the real archives; torchvision checks the sums of the zips they came from."""
    from torchvision.datasets.omniglot import Omniglot

    home = root / "omniglot-py"
    home.mkdir()
    sums = {}
    for part in ("images_background", "images_evaluation"):
        source = zipfile.ZipFile(shared_data / "omniglot" / f"{part}.zip")
        names = [name for name in source.namelist() if name.endswith(".png")]
        with zipfile.ZipFile(home / f"{part}.zip", "w") as archive:
            for name in islice((n for n in names if "/character01/" in n), 40):
                archive.writestr(name, source.read(name))
            archive.extractall(home)
        sums[part] = md5((home / f"{part}.zip").read_bytes()).hexdigest()
    monkeypatch.setattr(Omniglot, "zips_md5", sums)
    source = Learn2Learn(benchmark="omniglot", size=105)
    records = list(source.records(root / "learn2learn"))
    assert (source.channels, source.split, source.key) == (
        1,
        "learn2learn",
        "learn2learn-omniglot-105px-gray",
    )
    assert len(records) == 80 and len({record.class_name for record in records}) == 4
    for record in records:
        (path,) = home.glob(f"images_*/{record.name}")
        assert path.parent.relative_to(path.parents[2]).as_posix() == record.class_name
        ink = 255 - np.asarray(Image.open(path).convert("L"))
        np.testing.assert_array_equal(np.asarray(record.image)[:, :, 0], ink)


def test_omniglots_own_division_is_fixed() -> None:
    names = tuple(f"Alphabet/character{n:04d}" for n in range(1623))
    source = Learn2Learn(benchmark="omniglot")
    split = source.class_split(names)
    assert [len(part) for part in (split.train, split.val, split.test)] == [1100, 100, 423]
    assert split == source.class_split(names[::-1])


def test_a_pickle_that_would_run_code_is_refused(root: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {root / 'ran'}",)

    for mode in ("train", "validation", "test"):
        (root / f"mini-imagenet-cache-{mode}.pkl").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(InputError, match=r"refused, it would load .*system"):
        catalogue.open_image_set(Learn2Learn())
    assert not (root / "ran").exists()


def test_mistakes_are_one_line(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="benchmark=imagenet must be one of omniglot, mini-imagenet"):
        Learn2Learn(benchmark="imagenet")
    with pytest.raises(InputError, match="split=vinyals must be ravi"):
        Learn2Learn(split="vinyals")
    with pytest.raises(InputError, match=r"mini-imagenet-cache-\{train,validation,test\}\.pkl"):
        catalogue.open_image_set(Learn2Learn())
    fc100(root, drawn(4, 32, 32, 3))
    monkeypatch.setitem(__import__("sys").modules, "learn2learn", None)
    with pytest.raises(InputError, match="run `make learn2learn`") as raised:
        catalogue.open_image_set(Learn2Learn(benchmark="fc100"))
    assert "\n" not in str(raised.value)


@needs_learn2learn
def test_our_names_are_its_benchmarks() -> None:
    import learn2learn

    assert set(BENCHMARKS) == set(learn2learn.vision.benchmarks.list_tasksets())
