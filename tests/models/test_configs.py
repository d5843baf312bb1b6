"""Every YAML of conf/backbone and conf/head composes, and builds an embedder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from fewshot.config import instantiate
from fewshot.models.backbone import Backbone
from fewshot.models.embedder import Embedder
from fewshot.models.heads import Head
from fewshot.models.pooling import POOLINGS

CONF = Path(__file__).resolve().parents[2] / "conf"
GIVEN = {"timm": {"name": "test_resnet"}, "classifier": {"ways": 5}}


def group(name: str) -> list[str]:
    return sorted(file.stem for file in (CONF / name).glob("*.yaml"))


def composed(name: str, choice: str) -> dict[str, object]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose(overrides=[f"+{name}={choice}"])
    node = OmegaConf.to_container(config[name], resolve=False)
    assert isinstance(node, dict)
    return {str(key): value for key, value in node.items()} | GIVEN.get(choice, {})


def built(backbone: dict[str, object], head: dict[str, object], channels: int, size: int) -> Embedder:
    made: Backbone = instantiate(backbone, in_channels=channels)

    def make_head(features: int) -> Head:
        head_made: Head = instantiate(head, in_features=features)
        return head_made

    values = (0.5,) * channels
    return Embedder(made, make_head, mean=values, std=values, size=size, channels=channels)


@pytest.mark.parametrize("choice", group("backbone"))
@pytest.mark.parametrize("channels", [1, 3])
def test_every_backbone_builds(choice: str, channels: int) -> None:
    network = built(composed("backbone", choice), composed("head", "none"), channels, 32).eval()
    with torch.no_grad():
        made = network(torch.zeros(1, channels, 32, 32, dtype=torch.uint8))
    assert made.shape == (1, network.dim)


@pytest.mark.parametrize("pool", POOLINGS)
def test_the_pooling_is_one_override_away(pool: str) -> None:
    node = composed("backbone", "conv4") | {"pool": pool}
    network = built(node, composed("head", "none"), 3, 84)
    assert network.dim == (1600 if pool == "flatten" else 64)


@pytest.mark.parametrize(
    ("choice", "dim", "embed_dim"),
    [("none", 64, 64), ("linear", 512, 512), ("mlp", 128, 64), ("classifier", 5, 64)],
)
def test_every_head_builds(choice: str, dim: int, embed_dim: int) -> None:
    assert set(group("head")) == {"none", "linear", "mlp", "classifier"}
    network = built(composed("backbone", "conv4"), composed("head", choice), 3, 28)
    assert (network.dim, network.embed_dim) == (dim, embed_dim)
