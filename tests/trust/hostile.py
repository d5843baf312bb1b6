"""What reads a stranger's bytes, each as a function of bytes, and what may come of it.

A target reads its bytes as the program would read a file or a command line. It may return, or raise an
`InputError`; anything else is a defect. `test_fuzz.py` tries a few hundred inputs of each,
`fuzz.py` any number, guided by coverage.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors.torch
import scipy.io
import torch
from PIL import Image

from fewshot.cli.arguments import parse
from fewshot.cli.check import check
from fewshot.cli.commands.train import PROGRAM
from fewshot.cli.conf_folder import ConfFolder
from fewshot.cli.failure import one_line
from fewshot.cli.run_report import write_report
from fewshot.continual.accuracy_matrix import read_matrices
from fewshot.data import pickles
from fewshot.data.decoding import decode, fit_square, square
from fewshot.data.file_tree import open_tree
from fewshot.data.image_folders import printable
from fewshot.data.image_set import ImageSet
from fewshot.data.labelling import find_query
from fewshot.data.source import Source
from fewshot.data.sources.cars import Cars
from fewshot.data.sources.cifar10 import Cifar10
from fewshot.data.sources.cub import CUB
from fewshot.data.sources.folder import ImageFolder
from fewshot.data.sources.imagenet32 import ImageNet32
from fewshot.data.sources.inshop import InShop
from fewshot.data.sources.miniimagenet import MiniImageNet
from fewshot.data.sources.sop import SOP
from fewshot.data.sources.tieredimagenet import TieredImageNet
from fewshot.errors import InputError
from fewshot.recipes.exported import write_exported
from fewshot.recipes.model import Architecture, card, load_model
from fewshot.recipes.prediction_rows import Rows, read_state
from fewshot.recipes.run_record import load_config
from fewshot.recipes.saved_result import read_values
from fewshot.recipes.store import Store
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


def structure(data: bytes, folder: Path) -> None:
    """The pickle within a checkpoint, in an archive whose sums are right."""
    with io.BytesIO() as buffer:
        with zipfile.ZipFile(buffer, "w") as file:
            for name, content in _members().items():
                file.writestr(name, data if name.endswith("data.pkl") else content)
        checkpoint(buffer.getvalue(), folder)


@cache
def _members() -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(_checkpoint())) as file:
        return {name: file.read(name) for name in file.namelist()}


def model_card(data: bytes, folder: Path) -> None:
    (folder / "model.json").write_bytes(data)
    (folder / "model.safetensors").write_bytes(_exported()[1])
    load_model(folder / "model.json", torch.device("cpu"))


def store_card(data: bytes, folder: Path) -> None:
    (folder / "tensors-01234567.safetensors").write_bytes(_store_tensors())
    (folder / "store.json").write_bytes(data)
    Store.read(folder)


def saved_config(data: bytes, folder: Path) -> None:
    (folder / "config.yaml").write_bytes(data)
    load_config(folder)


def prediction(data: bytes, folder: Path) -> None:
    """state.json and rows.jsonl of a prediction that goes on: the first line and the rest."""
    state, _, rows = data.partition(b"\n")
    (folder / "state.json").write_bytes(state)
    (folder / "rows.jsonl").write_bytes(rows)
    read_state(folder)
    found = Rows(folder)
    found.kept(2)
    for _ in found:
        pass


def listed_queries(data: bytes, folder: Path) -> None:
    (folder / "qa.png").touch()
    # No line may name a folder, such as "/", that would be walked.
    lines = (b"q" + line for line in data.translate(None, b"/").split(b"\n"))
    (folder / "list.txt").write_bytes(b"\n".join(lines))
    find_query(str(folder / "list.txt"))


def matrices(data: bytes, folder: Path) -> None:
    (folder / "accuracy.json").write_bytes(data)
    read_matrices(folder)


def report(name: str) -> Read:
    """The page of a run; whatever a file of it holds, there is a page."""

    def read(data: bytes, folder: Path) -> None:
        run = folder / "run"
        _write(run, _run())
        (run / name).write_bytes(data)
        page = write_report(run)[0].read_text(encoding="utf-8")
        assert "<script" not in page and "<img src=x" not in page

    return read


@cache
def _run() -> dict[str, bytes]:
    config = (
        b"recipe: few_shot\ndata: {name: <script>}\nchoices: {recipe: few_shot, data: glyphs}\nsteps: 6\n"
    )
    record = {
        "recipe": "few_shot",
        "status": "finished",
        "selection": "<img src=x>",
        "seconds": 1.5,
        "steps": 6,
    }
    metrics = b'{"step": 3, "train/loss": 1.5}\n{"step": 6, "train/loss": 1.0, "val/accuracy": 0.5}\n'
    return {
        "config.yaml": config,
        "run.json": json.dumps(record).encode(),
        "metrics.jsonl": metrics,
        "eval/a/result.json": _result()["result.json"],
        "eval/a/episodes.npz": _result()["episodes.npz"],
    }


def listed(source: Source, files: Mapping[str, bytes], fuzzed: str) -> Read:
    """A data set in the owner's layout, with one of its lists from the input."""

    def read(data: bytes, folder: Path) -> None:
        root = folder / source.name
        if not root.exists():
            _write(root, files)
        (root / fuzzed).write_bytes(data)
        if source.find(root) is None:
            return
        for record in source.records(root):
            printable(record.class_name).encode()
            printable(record.name).encode()
            square(record, source, root)

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


@cache
def _model() -> dict[str, Any]:
    backbone = {"_target_": "fewshot.models.conv4.Conv4", "width": 2, "depth": 1, "pool": "average"}
    head = {"_target_": "fewshot.models.heads.NoHead", "normalize": False}
    architecture = Architecture(backbone, head, (0.5,), (0.5,), 8, 1)
    trained_on = {"data": "x", "images": "x", "split": "y", "before": "none"}
    told = card(architecture, trained_on, "last", ("a",), torch.zeros(2), source=ImageFolder(path="."))
    return {**told, "format": 1, "embedder": architecture.build().state_dict(), "step": 1}


@cache
def _checkpoint() -> bytes:
    with io.BytesIO() as buffer:
        torch.save(_model(), buffer)
        return buffer.getvalue()


@cache
def _exported() -> tuple[bytes, bytes]:
    """Card and tensors."""
    with tempfile.TemporaryDirectory() as place:
        write_exported(Path(place), _model(), {})
        return (Path(place) / "model.json").read_bytes(), (Path(place) / "model.safetensors").read_bytes()


@cache
def _store_tensors() -> bytes:
    tensors = {"sums": torch.zeros(2, 3), "features": torch.zeros(2, 3), "labels": torch.tensor([0, 1])}
    return safetensors.torch.save(tensors)


def _store() -> bytes:
    told = {
        "kind": "fewshot prototype store", "format": 1, "classes": ["a", "b"], "counts": [1, 1],
        "names": ["a/1.png", "b/1.png"], "digests": ["", ""], "tensors": "tensors-01234567.safetensors",
        "sha256": hashlib.sha256(_store_tensors()).hexdigest(), "model": {"name": "m", "sha256": "s"},
        "reading": {}, "settings": {"classifier": "c", "false_alarms": 0.1},
        "fitted": {"temperature": 1.0, "rule": "r"},
    }  # fmt: skip
    return json.dumps(told).encode()


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


PIXELS = np.arange(4 * 3072, dtype=np.int64).astype(np.uint8).reshape(4, 3072)
LABELS = {b"labels": [0, 1, 0, 1], b"filenames": [b"a", b"b", b"c", b"d"], b"data": PIXELS}
CIFAR10_FILES = {
    **{f"data_batch_{number}": pickle.dumps(LABELS, 2) for number in range(1, 6)},
    "test_batch": pickle.dumps(LABELS, 2),
    "batches.meta": pickle.dumps({b"label_names": [b"cat", "dog"]}, 2),
}
IMAGENET32_FILES = {"val_data": pickle.dumps({"labels": [1, 2, 1, 1000], "data": PIXELS}, 4)}
CACHE_FILES = {
    "mini-imagenet-cache-test.pkl": pickle.dumps(
        {"image_data": PIXELS.reshape(4, 32, 32, 3), "class_dict": {"n01532829": [0, 1], b"n2": np.arange(3)}}
    )
}
TIERED_FILES = {
    "test_images_png.pkl": pickle.dumps([np.frombuffer(picture(), np.uint8)] * 2),
    "test_labels.pkl": pickle.dumps({"label_specific": np.array([0, 1]), "label_specific_str": ["a", b"b"]}),
}


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
            b"fewshot.losses.ICNN",
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
    "structure": Target(
        structure, lambda: [content for name, content in _members().items() if name.endswith("data.pkl")]
    ),
    "model_card": Target(model_card, lambda: [_exported()[0]]),
    "store_card": Target(store_card, lambda: [_store()]),
    "config": Target(saved_config, lambda: [_run()["config.yaml"], b"recipe: &a [1]\ndata: [*a, *a]\n"]),
    "prediction": Target(
        prediction,
        lambda: [b'{"status": "running", "fingerprint": "a"}\n{"file": "a", "label": "b"}\n{"file": "b"}\n'],
    ),
    "query_list": Target(listed_queries, lambda: [b"a.png\na.png\n~b.png\n"]),
    "matrices": Target(
        matrices,
        lambda: [b'{"images": [2, 3], "tasks": ["a", "b"], "class_incremental": [[0.5, null], [0.25, 1.0]]}'],
    ),
    **{
        f"report_{name.rpartition('/')[2].partition('.')[0]}": Target(
            report(name), lambda n=name: [_run()[n]]
        )
        for name in ("config.yaml", "run.json", "metrics.jsonl", "eval/a/result.json", "eval/a/episodes.npz")
    },
    "cifar10_batch": _list(Cifar10(), CIFAR10_FILES, "data_batch_1"),
    "cifar10_meta": _list(Cifar10(), CIFAR10_FILES, "batches.meta"),
    "imagenet32": _list(ImageNet32(), IMAGENET32_FILES, "val_data"),
    "miniimagenet_cache": _list(MiniImageNet(size=8), CACHE_FILES, "mini-imagenet-cache-test.pkl"),
    "tieredimagenet_images": _list(TieredImageNet(size=8), TIERED_FILES, "test_images_png.pkl"),
    "tieredimagenet_labels": _list(TieredImageNet(size=8), TIERED_FILES, "test_labels.pkl"),
    "cub": _list(CUB(crop="box"), CUB_FILES, "images.txt"),
    "cub_boxes": _list(CUB(crop="box"), CUB_FILES, "bounding_boxes.txt"),
    "sop": _list(SOP(), SOP_FILES, "Ebay_test.txt"),
    "inshop": _list(InShop(), SHOP_FILES, "list_eval_partition.txt"),
    "miniimagenet_csv": _list(MiniImageNet(), MINI_FILES, "train.csv"),
    "cars_labels": _list(Cars(), CARS_FILES, "devkit/train_perfect_preds.txt"),
    "cars_mat": _list(Cars(), CARS_FILES, "devkit/cars_meta.mat"),
    "split_file": Target(split_file, lambda: [b"[train]\na\n# mine\n[val]\nb\n[test]\nc\n"]),
    "manifest": Target(packed("manifest.json"), lambda: [_pack()["manifest.json"]]),
    "labels": Target(packed("labels.npy"), lambda: [_pack()["labels.npy"]]),
    "images": Target(packed("images.npy"), lambda: [_pack()["images.npy"]]),
    "result": Target(result("result.json"), lambda: [_result()["result.json"]]),
    "episodes": Target(result("episodes.npz"), lambda: [_result()["episodes.npz"]]),
}
