"""What reads a stranger's bytes, each as a function of bytes, and what may come of it.

A target reads its bytes as the program would read a file or a command line. It may return, or raise an
`InputError`; anything else is a defect. `test_fuzz.py` tries a few hundred inputs of each,
`fuzz.py` any number, guided by coverage.
"""

from __future__ import annotations

import io
import json
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.io
import torch
from PIL import Image

from fewshot.cli.arguments import parse
from fewshot.cli.check import check
from fewshot.cli.commands.train import PROGRAM
from fewshot.cli.conf_folder import ConfFolder
from fewshot.cli.failure import one_line
from fewshot.data import pickles
from fewshot.data.decoding import decode, fit_square
from fewshot.data.file_tree import open_tree
from fewshot.data.image_set import ImageSet
from fewshot.data.source import Source
from fewshot.data.sources.cars import Cars
from fewshot.data.sources.cub import CUB
from fewshot.data.sources.folder import ImageFolder
from fewshot.data.sources.inshop import InShop
from fewshot.data.sources.miniimagenet import MiniImageNet
from fewshot.data.sources.sop import SOP
from fewshot.errors import InputError
from fewshot.recipes.model import load_model
from fewshot.recipes.saved_result import read_values
from fewshot.targets import ALLOWED, resolve_target

Read = Callable[[bytes, Path], object]


class Target(NamedTuple):
    """A reader and whole inputs to begin from.

    Attributes:
        read: the bytes, given a folder in which it may write.
        seeds: inputs that are read without an error, or nearly.
    """

    read: Read
    seeds: Callable[[], list[bytes]]


def attempt(target: Target, data: bytes, folder: Path) -> str:
    """Read `data`; the line of its error, "" if there was none.

    Raises:
        Exception: whatever else the reader raised.
    """
    try:
        target.read(data, folder)
    except InputError as error:
        said = one_line(str(error))
        assert said
        return said
    return ""


def words(data: bytes, _: Path) -> None:
    check(parse(data.decode("utf-8", "replace").split("\n")), _conf(), PROGRAM.name, PROGRAM.schema)


@cache
def _conf() -> ConfFolder:
    return ConfFolder.found([])


def target_name(data: bytes, _: Path) -> None:
    found = resolve_target(data.decode("utf-8", "replace"), "loss")
    inside = any(found.__module__ == p or found.__module__.startswith(f"{p}.") for p in ALLOWED)
    assert inside, found


def image(data: bytes, _: Path) -> None:
    for channels in (1, 3):
        fitted = fit_square(decode(data, "a.png", channels), 8, None, "cover")
        assert fitted.shape == (8, 8, channels) and fitted.dtype == np.uint8


def archive(suffix: str) -> Read:
    def read(data: bytes, folder: Path) -> None:
        path = folder / f"a{suffix}"
        path.write_bytes(data)
        tree = open_tree(path)
        for name, _ in tree.read_all(tree.names):
            assert not name.startswith("/") and ".." not in name.split("/"), name

    return read


def pickled(data: bytes, _: Path) -> None:
    pickles.load_bytes(data, "a.pkl")


def checkpoint(data: bytes, folder: Path) -> None:
    path = folder / "best.pt"
    path.write_bytes(data)
    load_model(path, torch.device("cpu"))


def listed(source: Source, files: Mapping[str, bytes], fuzzed: str) -> Read:
    """A data set in the owner's layout, with one of its lists from the input."""

    def read(data: bytes, folder: Path) -> None:
        root = folder / source.name
        if not root.exists():
            _write(root, files)
        (root / fuzzed).write_bytes(data)
        if source.find(root) is None:
            return
        for _ in source.records(root):
            pass

    return read


def _write(root: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def split_file(data: bytes, folder: Path) -> None:
    (folder / "split.json").write_bytes(data)
    ImageFolder(path=str(folder), split="split.json").class_split(["a", "b", "c"])


def packed(name: str) -> Read:
    def read(data: bytes, folder: Path) -> None:
        if not (folder / "labels.npy").exists():
            _write(folder, _pack())
        for other, content in _pack().items():
            if other != name:
                (folder / other).write_bytes(content)
        (folder / name).write_bytes(data)
        if name != "manifest.json":  # else the wrong number of bytes is all that is ever found
            manifest = json.loads(_pack()["manifest.json"])
            manifest["bytes"][name] = len(data)
            (folder / "manifest.json").write_text(json.dumps(manifest))
        opened = ImageSet.open(folder, "memmap")
        assert len(opened.names) == len(opened.labels)

    return read


@cache
def _pack() -> dict[str, bytes]:
    images, labels = np.zeros((4, 1, 3, 3), np.uint8), np.array([0, 0, 1, 1])
    files = {"images.npy": _npy(images), "labels.npy": _npy(labels), "names.txt": b"a\nb\nc\nd\n"}
    manifest = {
        "version": 1,
        "classes": ["x", "y"],
        "bytes": {name: len(content) for name, content in files.items()},
        "sha256": {},
    }
    return {**files, "manifest.json": json.dumps(manifest).encode()}


def _npy(array: np.ndarray) -> bytes:
    with io.BytesIO() as buffer:
        np.save(buffer, array)
        return buffer.getvalue()


def result(name: str) -> Read:
    def read(data: bytes, folder: Path) -> None:
        for other, content in _result().items():
            if other != name:
                (folder / other).write_bytes(content)
        (folder / name).write_bytes(data)
        read_values(folder)

    return read


@cache
def _result() -> dict[str, bytes]:
    summary = {
        "accuracy": 0.5, "episodes": 2, "ways": 2, "shots": 1, "queries": 2, "split": "test",
        "testbed_seed": 0, "testbed_sha256": "a" * 64, "data": {"name": "x", "key": "x-8px-gray"},
        "images": {"key": "x-8px-gray", "sha256": "b"}, "config": {"classifier": {"_target_": "a.b"}},
        "curve": [{"shots": 1, "accuracy": 0.5}], "model": "m", "trained_on": {"data": "x"},
    }  # fmt: skip
    with io.BytesIO() as buffer:
        np.savez(
            buffer, shots=np.array([1]), accuracies=np.full((1, 2), 0.5),
            predictions=np.zeros((1, 2, 2, 2), np.int16), classes=np.zeros((2, 2), np.int64),
        )  # fmt: skip
        arrays = buffer.getvalue()
    return {"result.json": json.dumps(summary).encode(), "episodes.npz": arrays}


@cache
def picture(form: str = "PNG", mode: str = "RGB") -> bytes:
    with io.BytesIO() as buffer:
        pixels = np.arange(12 * 9 * 3, dtype=np.uint8).reshape(9, 12, 3)
        Image.fromarray(pixels).convert(mode).save(buffer, form)
        return buffer.getvalue()


def _zip(*names: str) -> bytes:
    with io.BytesIO() as buffer:
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
            for name in names:
                file.writestr(name, b"content of it" * 3)
        return buffer.getvalue()


def _tar(mode: str, *names: str) -> bytes:
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode=mode) as file:  # type: ignore[call-overload]
            for name in names:
                member = tarfile.TarInfo(name)
                member.size = 5
                file.addfile(member, io.BytesIO(b"hello"))
            link = tarfile.TarInfo("link")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            if "link" in names:
                file.addfile(link)
        return buffer.getvalue()


def _checkpoint() -> bytes:
    network = torch.nn.Linear(2, 2)
    content = {"format": 1, "embedder": network.state_dict(), "architecture": {"backbone": {}}, "step": 1}
    with io.BytesIO() as buffer:
        torch.save(content, buffer)
        return buffer.getvalue()


def _mat() -> bytes:
    with io.BytesIO() as buffer:
        scipy.io.savemat(buffer, {"class_names": np.array(["a", "b"], dtype=object)})
        return buffer.getvalue()


BIRD = "images/001.Bird/a.jpg"
CUB_FILES = {
    BIRD: picture("JPEG"), "images.txt": b"1 001.Bird/a.jpg\n", "bounding_boxes.txt": b"1 1.0 1.0 4.0 4.0\n"
}  # fmt: skip
SOP_FILES = {
    "Ebay_train.txt": b"image_id class_id super_class_id path\n1 1 1 bicycle_final/1_0.JPG\n",
    "Ebay_test.txt": b"image_id class_id super_class_id path\n2 2 1 bicycle_final/2_0.JPG\n",
    "bicycle_final/1_0.JPG": picture("JPEG"), "bicycle_final/2_0.JPG": picture("JPEG"),
}  # fmt: skip
SHOP_FILES = {
    "list_eval_partition.txt": b"2\nimage_name item_id evaluation_status\nimg/A/a.jpg id_1 train\n"
    b"img/A/b.jpg id_2 query\n",
    "img/A/a.jpg": picture("JPEG"), "img/A/b.jpg": picture("JPEG"),
}  # fmt: skip
MINI_FILES = {"images/a.jpg": picture("JPEG"), "train.csv": b"filename,label\na.jpg,n01532829\n"}
CARS_FILES = {
    "cars_train/00001.jpg": picture("JPEG"), "devkit/cars_meta.mat": _mat(),
    "devkit/train_perfect_preds.txt": b"1\n",
}  # fmt: skip


def _list(source: Source, files: Mapping[str, bytes], fuzzed: str) -> Target:
    return Target(listed(source, files, fuzzed), lambda: [files[fuzzed]])


TARGETS: dict[str, Target] = {
    "words": Target(
        words,
        lambda: [
            b"loss=icnn\ndata=miniimagenet\nshots=5",
            b"-m\nloss=icnn,prototypical\nseed=0,1,2\noptimizer.lr=1e-3",
            b"recipe=continual\ncontinual=prd\n++x.y=[1,2]\n~scheduler",
            b"classifier@classifier.classifier=tim\nloss.terms=[cross_entropy,icnn_full]\n'tracking=[wandb]'",
            b"trust=[a.b]\nexperiment=protonet/omniglot\nname='a b'\ninit=${seed}\nresume=runs/x",
        ],
    ),
    "target_name": Target(
        target_name,
        lambda: [
            b"fewshot.losses.icnn.ICNN",
            b"torchvision.datasets.folder.os.system",
            b"torch.nn.Linear.__init__",
        ],
    ),
    "image": Target(
        image,
        lambda: [
            picture(form, mode)
            for form, mode in (
                ("PNG", "RGB"),
                ("PNG", "P"),
                ("PNG", "I;16"),
                ("JPEG", "RGB"),
                ("GIF", "P"),
                ("BMP", "RGB"),
                ("TIFF", "RGB"),
                ("WEBP", "RGBA"),
                ("PPM", "L"),
            )
        ],
    ),
    "zip": Target(archive(".zip"), lambda: [_zip("a/b.txt", "c.txt"), _zip("../x", "/y")]),
    "tar": Target(archive(".tar"), lambda: [_tar("w", "a/b", "c"), _tar("w", "../x", "link")]),
    "tar.gz": Target(archive(".tar.gz"), lambda: [_tar("w:gz", "a/b", "c")]),
    "pickle": Target(
        pickled,
        lambda: (
            [
                pickle.dumps({"data": np.zeros((2, 3), np.uint8), b"labels": [1, 2]}, protocol)
                for protocol in range(6)
            ]
            + [b"cos\nsystem\n(S'true'\ntR.", b"cbuiltins\neval\n(S'1'\ntR."]
        ),
    ),
    "checkpoint": Target(checkpoint, lambda: [_checkpoint()]),
    "cub": _list(CUB(crop="box"), CUB_FILES, "images.txt"),
    "cub_boxes": _list(CUB(crop="box"), CUB_FILES, "bounding_boxes.txt"),
    "sop": _list(SOP(), SOP_FILES, "Ebay_test.txt"),
    "inshop": _list(InShop(), SHOP_FILES, "list_eval_partition.txt"),
    "miniimagenet_csv": _list(MiniImageNet(), MINI_FILES, "train.csv"),
    "cars_labels": _list(Cars(), CARS_FILES, "devkit/train_perfect_preds.txt"),
    "cars_mat": _list(Cars(), CARS_FILES, "devkit/cars_meta.mat"),
    "split_file": Target(split_file, lambda: [b'{"train": ["a"], "val": ["b"], "test": ["c"]}']),
    "manifest": Target(packed("manifest.json"), lambda: [_pack()["manifest.json"]]),
    "labels": Target(packed("labels.npy"), lambda: [_pack()["labels.npy"]]),
    "images": Target(packed("images.npy"), lambda: [_pack()["images.npy"]]),
    "result": Target(result("result.json"), lambda: [_result()["result.json"]]),
    "episodes": Target(result("episodes.npz"), lambda: [_result()["episodes.npz"]]),
}
