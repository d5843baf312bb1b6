"""A model's checkpoint is all that using it needs, and says plainly when it is not one."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fewshot.errors import InputError
from fewshot.models.embedder import Embedder
from fewshot.recipes.model import Architecture, card, load_model, model_file, start_from
from fewshot.training import checkpoint

CPU = torch.device("cpu")
CONV4 = {"_target_": "fewshot.models.conv4.Conv4", "width": 6, "depth": 4, "pool": "flatten"}
NO_HEAD = {"_target_": "fewshot.models.heads.NoHead", "normalize": False}
LINEAR = {"_target_": "fewshot.models.heads.LinearHead", "dim": 7, "training_only": True}
TRAINED_ON = {"data": "glyphs", "images": "glyphs", "split": "scripts", "before": "none"}
SELECTION = "chosen on 16 validation classes (5-way 5-shot)"


def architecture(backbone: dict[str, Any] = CONV4, head: dict[str, Any] = NO_HEAD) -> Architecture:
    return Architecture(dict(backbone), dict(head), (0.2, 0.3, 0.4), (0.5, 0.6, 0.7), size=32, channels=3)


def images(size: int = 32) -> Tensor:
    return torch.randint(
        0, 256, (3, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(5)
    )


def written(path: Path, built: Architecture, train_mean: Tensor | None = None) -> Embedder:
    """Save a model with weights and running statistics unlike those of a fresh one."""
    torch.manual_seed(3)
    embedder = built.build().train()
    embedder(images())
    content = {
        **card(built, dict(TRAINED_ON), SELECTION, ("A", "B"), train_mean),
        "embedder": embedder.state_dict(),
        "step": 17,
    }
    checkpoint.save(path, content)
    return embedder.eval()


def changed(path: Path, without: str | None = None, **entries: Any) -> Path:
    """A copy of a checkpoint with other entries and without one."""
    content = {**checkpoint.load(path), **entries}
    other = path.with_name("changed.pt")
    checkpoint.save(other, {key: value for key, value in content.items() if key != without})
    return other


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a checkpoint must load without a network")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_a_model_comes_back_as_it_was(tmp_path: Path) -> None:
    mean = torch.arange(24.0)
    embedder = written(tmp_path / "best.pt", architecture(), mean)
    torch.manual_seed(99)
    model = load_model(tmp_path / "best.pt", CPU)
    assert not model.embedder.training
    assert torch.equal(model.embedder.embed(images()), embedder.embed(images()))
    assert model.step == 17 and model.trained_on == TRAINED_ON and model.selection == SELECTION
    assert model.classes == ("A", "B")
    assert model.train_mean is not None and torch.equal(model.train_mean, mean)
    assert (model.architecture.size, model.architecture.channels) == (32, 3)
    assert list(model.architecture.mean) == [0.2, 0.3, 0.4]
    # As the architecture was saved, it can be saved again.
    again = card(model.architecture, model.trained_on, model.selection, model.classes or (), model.train_mean)
    assert again["architecture"] == checkpoint.load(tmp_path / "best.pt")["architecture"]


def test_a_head_for_training_only_stays_one(tmp_path: Path) -> None:
    embedder = written(tmp_path / "best.pt", architecture(head=LINEAR))
    loaded = load_model(tmp_path / "best.pt", CPU).embedder
    assert (loaded.dim, loaded.embed_dim) == (7, 24)
    assert torch.equal(loaded(images()), embedder(images()))
    assert torch.equal(loaded.embed(images()), embedder.features(images()))
    assert loaded.embed(images()).shape == (3, 24)


def test_foreign_weights_from_a_file_are_not_needed_again(tmp_path: Path, offline: None) -> None:
    timm = pytest.importorskip("timm")
    file = tmp_path / "foreign.pth"
    torch.save(timm.create_model("test_resnet", num_classes=5).state_dict(), file)
    node = {
        "_target_": "fewshot.models.timm.TimmBackbone",
        "name": "test_resnet",
        "weights": str(file),
        "pretrained": False,
        "pool": "average",
    }
    embedder = written(tmp_path / "best.pt", architecture(node))
    assert embedder.backbone.weights_origin != "none"
    file.unlink()
    loaded = load_model(tmp_path / "best.pt", CPU).embedder
    assert torch.equal(loaded.embed(images()), embedder.embed(images()))
    # The mean and std of the foreign training, not those of the data.
    assert torch.equal(loaded.mean, embedder.mean)
    assert loaded.mean.flatten().tolist() != pytest.approx([0.2, 0.3, 0.4])


@pytest.mark.parametrize(
    "node",
    [
        {"_target_": "fewshot.models.timm.TimmBackbone", "name": "resnet10t"},
        {"_target_": "fewshot.models.torchvision.TorchvisionBackbone", "name": "resnet18"},
    ],
    ids=["timm", "torchvision"],
)
def test_published_weights_are_not_fetched_again(
    tmp_path: Path, offline: None, node: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Empty caches: what is asked for would have to be fetched.
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    built = architecture(node)
    embedder = written(tmp_path / "built.pt", built)
    saved = checkpoint.load(tmp_path / "built.pt")["architecture"]
    saved["backbone"]["pretrained"] = True
    path = changed(tmp_path / "built.pt", architecture=saved)
    loaded = load_model(path, CPU).embedder
    assert torch.equal(loaded.embed(images()), embedder.embed(images()))


@pytest.mark.parametrize("width", [5, 8])
def test_weights_of_another_architecture_are_refused(tmp_path: Path, width: int) -> None:
    written(tmp_path / "best.pt", architecture())
    saved = checkpoint.load(tmp_path / "best.pt")["architecture"]
    saved["backbone"]["width"] = width
    path = changed(tmp_path / "best.pt", architecture=saved)
    with pytest.raises(InputError, match=f"there and.*{width}") as caught:
        load_model(path, CPU)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_an_architecture_of_another_version_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "best.pt", architecture())
    saved = {**checkpoint.load(tmp_path / "best.pt")["architecture"], "neck": {}}
    with pytest.raises(InputError, match="not one of this version"):
        load_model(changed(tmp_path / "best.pt", architecture=saved), CPU)


@pytest.mark.parametrize(
    ("target", "options", "said"),
    [
        ("fewshot.whole_file.write_whole", {"path": "MADE/x", "text": "x"}, "is no part of an experiment"),
        ("fewshot.tracking.jsonl.JsonlTracker", {"run_dir": "MADE"}, "makes no backbone"),
        ("", {"run_dir": "MADE"}, "makes no module"),
    ],
)
def test_a_strangers_model_names_modules_alone(
    tmp_path: Path, target: str, options: dict[str, str], said: str
) -> None:
    written(tmp_path / "best.pt", architecture())
    (tmp_path / "MADE").mkdir()
    options = {key: value.replace("MADE", str(tmp_path / "MADE")) for key, value in options.items()}
    node = {"_target_": target or "fewshot.tracking.jsonl.JsonlTracker", **options}
    backbone = node if target else {**CONV4, "pool": [node]}
    saved = {**checkpoint.load(tmp_path / "best.pt")["architecture"], "backbone": backbone}
    with pytest.raises(InputError, match=said):
        load_model(changed(tmp_path / "best.pt", architecture=saved), CPU)
    assert not list((tmp_path / "MADE").iterdir())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"trained_on": 3}, "'trained_on' is not there or no dict"),
        ({"trained_on": {**TRAINED_ON, "before": {}}}, "'data' is not there or no str"),
        ({"step": "x"}, "'step' is not there or no int"),
        ({"embedder": [1]}, "'embedder' is not there or no Mapping"),
        ({"embedder": {"a": 1}}, "its weights are no tensors"),
        ({"train_mean": torch.zeros(2, 2)}, "its weights are no tensors of their shape"),
        ({"classes": [1]}, "its classes are no names"),
        ({"classes": ["\x1b[2J"]}, "it says what a terminal would obey"),
        ({"trained_on": {**TRAINED_ON, "before": "a\nb"}}, "it says what a terminal would obey"),
    ],
)
def test_what_is_damaged_of_a_model_is_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    written(tmp_path / "best.pt", architecture())
    with pytest.raises(InputError, match=said):
        load_model(changed(tmp_path / "best.pt", **change), CPU)


def test_a_network_is_no_larger_than_its_weights(tmp_path: Path) -> None:
    """A width of a million would take terabytes before the weights were found not to fit."""
    written(tmp_path / "best.pt", architecture())
    saved = {**checkpoint.load(tmp_path / "best.pt")["architecture"], "backbone": {**CONV4, "width": 10**6}}
    with pytest.raises(InputError, match=r"is \[6, 3, 3, 3\] there and \[1000000, 3, 3, 3\] here"):
        load_model(changed(tmp_path / "best.pt", architecture=saved), CPU)


@pytest.mark.parametrize("missing", ["embedder", "architecture"])
def test_the_state_of_a_training_is_no_model(tmp_path: Path, missing: str) -> None:
    written(tmp_path / "best.pt", architecture())
    path = changed(tmp_path / "best.pt", without=missing)
    with pytest.raises(InputError, match="holds the state of a training, not a model") as caught:
        load_model(path, CPU)
    assert "best.pt" in str(caught.value) and str(path) in str(caught.value)


def test_the_model_of_a_run_is_its_best(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(InputError, match="there is no run or checkpoint"):
        model_file(run)
    run.mkdir()
    (run / "last.pt").touch()
    with pytest.raises(InputError, match=r"holds no best\.pt"):
        model_file(run)
    (run / "best.pt").touch()
    assert model_file(run) == run / "best.pt"
    assert model_file(run / "last.pt") == run / "last.pt"


def test_a_training_starts_from_the_backbone_alone(tmp_path: Path) -> None:
    source = written(tmp_path / "best.pt", architecture(head=LINEAR))
    torch.manual_seed(1)
    other = architecture(head={**LINEAR, "dim": 9}).build()
    head = {name: value.clone() for name, value in other.head.state_dict().items()}
    assert start_from(other, tmp_path / "best.pt", CPU) == TRAINED_ON
    for name, value in source.backbone.state_dict().items():
        assert torch.equal(other.backbone.state_dict()[name], value), name
    for name, value in head.items():
        assert torch.equal(other.head.state_dict()[name], value), name


def test_a_training_does_not_start_from_another_backbone(tmp_path: Path) -> None:
    written(tmp_path / "best.pt", architecture())
    wider = architecture({**CONV4, "width": 8}).build()
    before = wider.backbone.state_dict()["stages.block1.conv.weight"].clone()
    with pytest.raises(InputError, match="init=") as caught:
        start_from(wider, tmp_path / "best.pt", CPU)
    assert "\n" not in str(caught.value)
    assert torch.equal(wider.backbone.state_dict()["stages.block1.conv.weight"], before)
    path = changed(tmp_path / "best.pt", without="embedder")
    with pytest.raises(InputError, match="not a model"):
        start_from(wider, path, CPU)
