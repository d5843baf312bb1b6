"""Backbones of timm and torchvision: from scratch, from local files, and without a network."""

from __future__ import annotations

import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import torch

timm = pytest.importorskip("timm")
huggingface_hub = pytest.importorskip("huggingface_hub")

import torchvision.models as zoo  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from fewshot.errors import InputError  # noqa: E402
from fewshot.models.embedder import Embedder  # noqa: E402
from fewshot.models.heads import NoHead  # noqa: E402
from fewshot.models.pretrained import data_of_tag  # noqa: E402
from fewshot.models.timm import TimmBackbone  # noqa: E402
from fewshot.models.torchvision import TorchvisionBackbone  # noqa: E402


def embedder(backbone: Any, size: int = 64) -> Embedder:
    half = (0.5,) * backbone.in_channels
    return Embedder(backbone, NoHead, mean=half, std=half, size=size, channels=backbone.in_channels)


def save(state: dict[str, torch.Tensor], file: Path) -> str:
    if file.suffix == ".safetensors":
        save_file(state, file)
    else:
        torch.save(state, file)
    return str(file)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("test_resnet", (96, 2, 2)),
        ("test_convnext", (64, 2, 2)),
        ("test_efficientnet", (256, 2, 2)),
        ("test_vit", (64, 1, 1)),  # tokens, pooled by the model
        ("test_mambaout", (256, 2, 2)),  # channels at the end
    ],
)
@pytest.mark.parametrize("in_channels", [1, 3])
def test_timm_maps_and_gradients(name: str, shape: tuple[int, ...], in_channels: int) -> None:
    torch.manual_seed(0)
    network = embedder(TimmBackbone(name, in_channels=in_channels))
    images = torch.randint(0, 256, (2, in_channels, 64, 64), dtype=torch.uint8)
    assert network.stage_names == ("features",)
    assert network.map_shape == shape
    assert network.up_to(images, "features").shape[1:] == shape
    network(images).square().sum().backward()
    # Layers that only the removed classifier used would stall DistributedDataParallel.
    assert [key for key, p in network.named_parameters() if p.grad is None] == []


def test_timm_map_pools_to_the_models_own_vector() -> None:
    model = timm.create_model("test_resnet", num_classes=0).eval()
    backbone = TimmBackbone("test_resnet").eval()
    backbone.stages.features.model.load_state_dict(model.state_dict())
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(backbone(images).mean((2, 3)), model(images))


def test_timm_fixed_sizes() -> None:
    assert TimmBackbone("test_vit").stages.features.resize == 160
    assert TimmBackbone("test_vit", resize=96).stages.features.model.patch_embed.img_size == (96, 96)
    assert TimmBackbone("test_resnet").stages.features.resize is None
    assert TimmBackbone("test_resnet", resize=128)(torch.rand(1, 3, 64, 64)).shape[2:] == (4, 4)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("classes", [0, 10])
@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_timm_local_file_round_trip(tmp_path: Path, name: str, classes: int, suffix: str) -> None:
    torch.manual_seed(0)
    saved = timm.create_model(name, num_classes=classes)
    backbone = TimmBackbone(name, weights=save(saved.state_dict(), tmp_path / f"mine{suffix}"))
    loaded = backbone.stages.features.model.state_dict()
    assert len(loaded) >= len(saved.state_dict()) - 2
    assert all(torch.equal(value, saved.state_dict()[key]) for key, value in loaded.items())
    assert backbone.weights_origin == f"unknown images (timm: {name}, file mine{suffix})"
    # The mean and std of the weights' own training, not those of the data set.
    own = timm.models.get_pretrained_cfg(name)
    assert embedder(backbone).describe()["mean"] == pytest.approx(own.mean)


@pytest.mark.parametrize("classes", [0, 10])
def test_timm_checks_every_key_of_a_file(tmp_path: Path, classes: int) -> None:
    state = timm.create_model("test_resnet", num_classes=classes).state_dict()
    del state["layer4.0.conv1.weight"]
    with pytest.raises(InputError, match=r"backbone.name=test_resnet.*layer4\.0\.conv1\.weight"):
        TimmBackbone("test_resnet", weights=save(state, tmp_path / "partial.pth"))


@pytest.mark.parametrize(
    "build",
    [lambda w: TimmBackbone("test_resnet", weights=w), lambda w: TorchvisionBackbone("resnet18", weights=w)],
)
def test_files_that_do_not_fit_are_one_line(tmp_path: Path, build: Any) -> None:
    other = save(timm.create_model("test_vit", num_classes=0).state_dict(), tmp_path / "other.pth")
    (tmp_path / "damaged.pth").write_bytes(b"not weights")
    for weights in (other, str(tmp_path / "damaged.pth"), str(tmp_path / "absent.pth")):
        with pytest.raises(InputError) as caught:
            build(weights)
        assert "\n" not in str(caught.value) and (
            "test_resnet" in str(caught.value) or weights in str(caught.value)
        )


@pytest.mark.parametrize(
    ("name", "line"),
    [("test_resnt", "did you mean 'test_resnet'"), ("resnet18.nothing", "resnet18.a1_in1k")],
)
def test_unknown_timm_names_are_input_errors(name: str, line: str) -> None:
    with pytest.raises(InputError, match=line):
        TimmBackbone(name)


def test_timm_offline_fails_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", refuse)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: None)
    # The retries of the download itself must never start.
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: pytest.fail("went to download"))
    start = time.monotonic()
    with pytest.raises(InputError, match=r"timm/resnet18.a1_in1k .* backbone.weights=PATH") as caught:
        TimmBackbone("resnet18", pretrained=True)
    assert time.monotonic() - start < 5 and "\n" not in str(caught.value)


def test_timm_takes_cached_weights_without_asking_the_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    saved = timm.create_model("test_resnet")
    cached = save(saved.state_dict(), tmp_path / "model.safetensors")
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: cached)
    monkeypatch.setattr(
        huggingface_hub.HfApi, "model_info", lambda *_, **__: pytest.fail("asked the network")
    )
    backbone = TimmBackbone("test_resnet", pretrained=True)
    assert torch.equal(backbone.stages.features.model.conv1[0].weight, saved.conv1[0].weight)
    assert backbone.weights_origin == "ImageNet-1k (timm: test_resnet.r160_in1k)"


def test_torchvision_offline_fails_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("no route")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(InputError, match=r"resnet18-.*\.pth are not on this machine") as caught:
        TorchvisionBackbone("resnet18", pretrained=True)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("in_channels", [1, 3])
def test_torchvision_stages_are_the_model(tmp_path: Path, in_channels: int) -> None:
    torch.manual_seed(0)
    model = zoo.get_model("resnet18", weights=None)
    weights = save(model.state_dict(), tmp_path / "mine.pth")
    model.fc = torch.nn.Identity()
    backbone = TorchvisionBackbone("resnet18", weights=weights, in_channels=in_channels).eval()
    model.eval()
    images = torch.rand(2, in_channels, 64, 64)
    with torch.no_grad():
        expected = model(images.expand(-1, 3, -1, -1))
        torch.testing.assert_close(backbone(images).mean((2, 3)), expected)
    assert list(dict(backbone.stages.named_children())) == ["stem", "stage1", "stage2", "stage3", "stage4"]
    assert backbone.weights_origin == "unknown images (torchvision: resnet18, file mine.pth)"
    assert backbone.normalisation is not None and len(backbone.normalisation[0]) == in_channels


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"name": "vgg11"}, "backbone.name=vgg11"),
        ({"in_channels": 4}, "1 or 3 channels"),
        ({"name": "resnet18", "version": "IMAGENET1K_V9"}, "choose IMAGENET1K_V1"),
    ],
)
def test_torchvision_settings_are_checked(settings: dict[str, Any], line: str) -> None:
    with pytest.raises(InputError, match=line):
        TorchvisionBackbone(**settings)


@pytest.mark.parametrize(
    ("tag", "data"),
    [
        ("a1_in1k", "ImageNet-1k"),
        ("augreg_in21k_ft_in1k", "ImageNet-1k and ImageNet-21k"),
        ("dino", "ImageNet-1k without labels"),
        ("lvd142m", "LVD-142M, which contains ImageNet"),
        ("fb_in22k_ft_in1k_384", "ImageNet-1k and ImageNet-21k"),
        ("dinov3_lvd1689m", "LVD-1689M, which contains ImageNet"),
        ("openai", "WebImageText of OpenAI, which is not public"),
        ("laion2b_ft_in12k", "ImageNet-12k and LAION-2B"),
        ("v2_webli", "WebLI of Google, which is not public"),
        ("bamboo", "images not named by the tag 'bamboo'"),
    ],
)
def test_data_of_tag(tag: str, data: str) -> None:
    assert data_of_tag(tag) == data
