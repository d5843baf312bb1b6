"""Embedder: what goes in, what comes out, and the ways through."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.transforms.v2.functional import normalize

from fewshot.errors import InputError
from fewshot.models.backbone import Backbone
from fewshot.models.conv4 import Conv4
from fewshot.models.embedder import Embedder
from fewshot.models.heads import Head, LinearHead, NoHead, ProjectorHead
from fewshot.models.pooling import POOLINGS
from fewshot.models.resnet import ResNet
from fewshot.models.resnet12 import ResNet12
from fewshot.models.wrn28_10 import WideResNet

MEAN, STD = (0.47, 0.45, 0.40), (0.27, 0.26, 0.28)
BACKBONES: dict[str, Callable[..., Backbone]] = {
    "conv4": lambda **options: Conv4(width=8, **options),
    "resnet12": lambda **options: ResNet12(widths=(4, 6, 8, 10), **options),
    "resnet18": lambda **options: ResNet(width=4, **options),
    "wrn": lambda **options: WideResNet(depth=10, widen=1, **options),
}


def embedder(
    backbone: Backbone | None = None, head: Callable[[int], Head] = NoHead, size: int = 32, channels: int = 3
) -> Embedder:
    torch.manual_seed(0)
    backbone = backbone or Conv4(width=8, in_channels=channels)
    return Embedder(backbone, head, mean=MEAN[:channels], std=STD[:channels], size=size, channels=channels)


def uint8_images(n: int = 4, channels: int = 3, size: int = 32) -> Tensor:
    return torch.randint(0, 256, (n, channels, size, size), dtype=torch.uint8)


def test_normalise_is_that_of_torchvision() -> None:
    images = uint8_images()
    expected = normalize(images.float() / 255, list(MEAN), list(STD))
    made = embedder().normalise(images)
    assert made.dtype == torch.float32 and made.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(made, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(embedder().normalise(images.float() / 255), expected, rtol=1e-5, atol=1e-6)


def test_uint8_and_unit_images_embed_alike() -> None:
    network, images = embedder().eval(), uint8_images()
    torch.testing.assert_close(network(images), network(images.float() / 255), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("head", [NoHead, ProjectorHead])
def test_every_stage_splits_the_forward(name: str, head: Callable[[int], Head]) -> None:
    network, images = embedder(BACKBONES[name](), head).eval(), uint8_images()
    whole = network(images)
    assert len(network.stage_names) == len(network.backbone.stages)
    for stage in network.stage_names:
        features = network.up_to(images, stage)
        assert features.ndim == 4
        assert torch.equal(network.from_stage(features, stage), whole)


def test_an_unknown_stage_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"no stage 'layer4' in Conv4; it has block1, .*block4"):
        embedder().up_to(uint8_images(), "layer4")


@pytest.mark.parametrize(
    ("pool", "oracle"),
    [
        ("flatten", lambda m: m.reshape(len(m), -1)),
        ("average", lambda m: m.mean((2, 3))),
        ("max", lambda m: m.flatten(2).max(2).values),
        ("average_max", lambda m: m.mean((2, 3)) + m.flatten(2).max(2).values),
    ],
)
def test_pooling(pool: str, oracle: Callable[[Tensor], Tensor]) -> None:
    network, images = embedder(Conv4(width=8, pool=pool)).eval(), uint8_images()
    expected = oracle(network.up_to(images, "block4").contiguous())
    made = network.features(images)
    torch.testing.assert_close(made, expected)
    assert made.shape == (4, network.feature_dim)


def test_pooling_of_half_precision_maps_is_accumulated_in_float32() -> None:
    features = torch.rand(2, 3, 40, 40).bfloat16()
    assert POOLINGS["average"](features).dtype == torch.float32
    torch.testing.assert_close(POOLINGS["average"](features), features.float().mean((2, 3)))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", BACKBONES)
def test_shapes_and_single_images(name: str, channels: int) -> None:
    network = embedder(BACKBONES[name](in_channels=channels), LinearHead, channels=channels).eval()
    images = uint8_images(3, channels)
    made = network(images)
    assert made.shape == (3, 512) == (3, network.dim) and made.dtype == torch.float32
    torch.testing.assert_close(network(images[:1]), made[:1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", BACKBONES)
def test_gradients_reach_every_parameter(name: str) -> None:
    network = embedder(BACKBONES[name](), ProjectorHead)
    made = network(uint8_images(8))
    made.mul(torch.randn_like(made)).sum().backward()
    assert [key for key, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("head", [NoHead, LinearHead, ProjectorHead])
def test_bf16_autocast_gives_float32_near_the_exact(name: str, head: Callable[[int], Head]) -> None:
    network, images = embedder(BACKBONES[name](), head).eval(), uint8_images()
    exact = network(images)
    with torch.autocast("cpu", torch.bfloat16):
        made = network(images)
    assert made.dtype == torch.float32
    assert (made - exact).norm() < 0.05 * exact.norm()


def test_float64_stays_float64() -> None:
    network = embedder().double().eval()
    assert network(uint8_images().double() / 255).dtype == torch.float64


@pytest.mark.parametrize("head", [NoHead, LinearHead, ProjectorHead])
def test_normalised_embeddings_are_of_unit_length_under_bf16(head: Callable[..., Head]) -> None:
    network = embedder(head=lambda features: head(features, normalize=True)).eval()
    with torch.autocast("cpu", torch.bfloat16):
        lengths = network(uint8_images()).norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones(4), rtol=1e-6, atol=1e-6)


def test_a_training_only_head_is_seen_by_the_loss_and_not_by_evaluation() -> None:
    network = embedder(head=lambda features: LinearHead(features, 16, training_only=True)).eval()
    images = uint8_images()
    assert (network.dim, network.embed_dim, network.feature_dim) == (16, 32, 32)
    assert network(images).shape == (4, 16)
    assert torch.equal(network.embed(images), network.features(images))
    # The same in training mode: the mode never decides which of the two comes out.
    assert network.train()(images).shape == (4, 16)
    assert network.embed(images).shape == (4, 32)


def test_any_other_head_is_seen_by_both() -> None:
    network, images = embedder(head=lambda features: LinearHead(features, 16)).eval(), uint8_images()
    assert network.embed_dim == 16
    assert torch.equal(network.embed(images), network(images))


def test_linear_head_starts_kaiming_by_fan_out_with_zero_bias() -> None:
    torch.manual_seed(0)
    layer = LinearHead(2048, 512).layers
    assert layer.weight.std().item() == pytest.approx((2 / 512) ** 0.5, rel=0.01)
    assert not layer.bias.any()


def test_projector_has_relu_between_and_not_after() -> None:
    head = ProjectorHead(512, (512, 512, 128))
    kinds = [type(layer).__name__ for layer in head.layers]
    assert kinds == ["Linear", "ReLU", "Linear", "ReLU", "Linear"] and head.dim == 128


@pytest.mark.parametrize("shape", [(4, 1, 32, 32), (4, 32, 32, 3), (3, 32, 32)])
def test_images_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected \[n, 3, height, width\]"):
        embedder()(torch.zeros(shape, dtype=torch.uint8))


def test_another_size_is_refused_by_flatten_alone() -> None:
    with pytest.raises(ValueError, match=r"48 x 48 px, .* for 32 x 32"):
        embedder()(uint8_images(size=48))
    assert embedder(Conv4(width=8, pool="average"))(uint8_images(size=48)).shape == (4, 8)


def test_images_that_vanish_are_an_input_error() -> None:
    with pytest.raises(InputError, match=r"data\.size=8 ") as caught:
        embedder(size=8)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("channels", "mean"), [(1, (0.5,)), (3, (0.5,))])
def test_channels_must_agree(channels: int, mean: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="must agree"):
        Embedder(Conv4(), NoHead, mean=mean, std=mean, size=32, channels=channels)


def test_building_leaves_the_backbone_as_it_was() -> None:
    backbone = ResNet12(widths=(4, 6, 8, 10), dropblock=0.1, dropblock_warmup=10)
    state, generator = copy.deepcopy(backbone.state_dict()), torch.get_rng_state()
    Embedder(backbone, NoHead, mean=MEAN, std=STD, size=32)
    assert backbone.training
    assert all(torch.equal(value, state[key]) for key, value in backbone.state_dict().items())
    assert torch.equal(torch.get_rng_state(), generator)


@pytest.mark.parametrize("name", BACKBONES)
def test_compiles_to_one_graph(name: str) -> None:
    network = embedder(BACKBONES[name](), ProjectorHead).eval()
    images = uint8_images(2)
    compiled = torch.compile(network, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(images), network(images))


def test_networks_that_differ_print_differently() -> None:
    shown = {
        repr(embedder(Conv4(width=8, pool=pool), lambda n, unit=unit: NoHead(n, normalize=unit)))
        for pool in POOLINGS
        for unit in (False, True)
    }
    assert len(shown) == 2 * len(POOLINGS)


def test_describe_is_plain_and_copies_survive() -> None:
    network = embedder().eval()
    card = network.describe()
    assert (card["backbone"], card["dim"], card["weights_origin"]) == ("Conv4", 32, "none")
    assert card["mean"] == pytest.approx(MEAN)
    images = uint8_images()
    for twin in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert torch.equal(twin(images), network(images)) and twin.describe() == card


def test_frozen_batchnorm_stays_in_evaluation_mode_and_its_weights_learn() -> None:
    network = embedder(head=ProjectorHead).train()
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    assert len(norms) == 4 and all(norm.training for norm in norms)
    network.freeze_batchnorm()
    whole = torch.nn.ModuleDict({"embedder": network, "loss": torch.nn.BatchNorm1d(3)})
    for mode in (True, False, True):
        assert whole.train(mode) is whole and network.train(mode) is network
        assert network.training == mode == whole["loss"].training
        assert not any(norm.training for norm in norms)
        assert all(
            module.training == mode for module in network.modules() if not isinstance(module, _BatchNorm)
        )
    before = {name: value.clone() for name, value in network.named_buffers()}
    network(uint8_images()).sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in network.named_buffers())
    assert all(norm.weight.grad is not None for norm in norms)
    assert not any(module.training for module in copy.deepcopy(network).train().modules() if _is_norm(module))


def _is_norm(module: torch.nn.Module) -> bool:
    return isinstance(module, _BatchNorm)


def test_batchnorm_is_frozen_in_the_mode_the_embedder_has() -> None:
    network = embedder().eval()
    network.freeze_batchnorm()
    assert not any(module.training for module in network.modules())
