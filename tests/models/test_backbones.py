"""Every backbone of this project: published sizes, maps, gradients, single images."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torchvision.models as zoo
from torch import nn

from fewshot.errors import InputError
from fewshot.models.backbone import Backbone
from fewshot.models.conv4 import Conv4
from fewshot.models.resnet import ResNet
from fewshot.models.resnet12 import ResNet12
from fewshot.models.wrn28_10 import WideResNet

# Narrow ones: the shapes of the layers are those of the published networks, the time is not.
NARROW: dict[str, Callable[..., Backbone]] = {
    "conv4": lambda **options: Conv4(width=8, **options),
    "resnet12": lambda **options: ResNet12(widths=(4, 6, 8, 10), **options),
    "resnet12_drop": lambda **options: ResNet12(widths=(4, 6, 8, 10), dropout=0.1, dropblock=0.1, **options),
    "resnet10": lambda **options: ResNet(depth=10, width=4, **options),
    "resnet18": lambda **options: ResNet(depth=18, width=4, **options),
    "resnet18_large": lambda **options: ResNet(depth=18, width=4, stem="large", **options),
    "wrn": lambda **options: WideResNet(depth=10, widen=1, **options),
}


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("network", "count"),
    [
        (lambda: ResNet12(), 12_424_320),  # 12.4 million
        (lambda: ResNet12(widths=(64, 128, 256, 512)), 7_996_800),  # 8.0 million
        (lambda: WideResNet(), 36_479_194 - 6_410),  # the paper's, less its classifier of 10 classes
    ],
)
def test_published_parameter_counts(network: Callable[[], Backbone], count: int) -> None:
    with torch.device("meta"):
        assert parameters(network()) == count


@pytest.mark.parametrize("depth", [18, 34])
def test_the_large_stem_makes_the_imagenet_network(depth: int) -> None:
    reference = zoo.get_model(f"resnet{depth}", weights=None)
    reference.fc = nn.Identity()
    ours = ResNet(depth=depth, stem="large")
    theirs = list(reference.state_dict().values())
    own = ours.state_dict()
    # Same layers in the same order, so the weights go over by position.
    ours.load_state_dict(dict(zip(own, theirs, strict=True)))
    images = torch.randn(2, 3, 64, 64)
    ours.eval(), reference.eval()
    with torch.no_grad():
        torch.testing.assert_close(ours(images).mean((2, 3)), reference(images))


@pytest.mark.parametrize("name", NARROW)
def test_every_parameter_gets_a_gradient(name: str) -> None:
    torch.manual_seed(0)
    backbone = NARROW[name]()
    made = backbone(torch.randn(4, 3, 48, 48))
    assert made.ndim == 4 and made.shape[:2] == (4, backbone.channels)
    made.mul(torch.randn_like(made)).sum().backward()
    lost = [key for key, p in backbone.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert lost == []


@pytest.mark.parametrize("name", NARROW)
@pytest.mark.parametrize("in_channels", [1, 3])
def test_an_image_alone_is_what_it_is_in_a_batch(name: str, in_channels: int) -> None:
    torch.manual_seed(0)
    backbone = NARROW[name](in_channels=in_channels).double().eval()
    images = torch.randn(3, in_channels, 32, 32, dtype=torch.float64)
    torch.testing.assert_close(backbone(images)[1:2], backbone(images[1:2]))


@pytest.mark.parametrize("name", NARROW)
def test_channels_last_changes_nothing_but_the_layout(name: str) -> None:
    torch.manual_seed(0)
    backbone = NARROW[name]().double().eval()
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    plain = backbone(images)
    backbone = backbone.to(memory_format=torch.channels_last)
    torch.testing.assert_close(backbone(images.contiguous(memory_format=torch.channels_last)), plain)


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (lambda: ResNet12(), (640, 5, 5)),
        (lambda: ResNet(depth=10), (512, 11, 11)),
        (lambda: ResNet(depth=18, stem="large"), (512, 3, 3)),
        (lambda: WideResNet(), (640, 21, 21)),
    ],
)
def test_maps_of_84_px(network: Callable[[], Backbone], shape: tuple[int, ...]) -> None:
    with torch.device("meta"):
        assert network()(torch.empty(2, 3, 84, 84)).shape[1:] == shape


@pytest.mark.parametrize("network", [lambda: ResNet12(), lambda: ResNet(), lambda: WideResNet(depth=10)])
def test_convolutions_start_kaiming_normal_by_fan_out(network: Callable[[], Backbone]) -> None:
    torch.manual_seed(0)
    convolutions = [m for m in network().modules() if isinstance(m, nn.Conv2d)]
    # Where as many channels come in as go out, fan-in is the same number.
    widest = max((m for m in convolutions if m.in_channels != m.out_channels), key=lambda m: m.weight.numel())
    fan_out = widest.out_channels * widest.kernel_size[0] ** 2
    assert widest.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.03)
    assert all(m.bias is None for m in convolutions)


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        (lambda: ResNet(depth=50), "backbone.depth=50"),
        (lambda: ResNet(stem="tiny"), "backbone.stem=tiny"),
        (lambda: WideResNet(depth=27), "backbone.depth=27"),
        (lambda: Conv4(pool="mean"), "backbone.pool=mean"),
    ],
)
def test_wrong_settings_are_named(wrong: Callable[[], Backbone], line: str) -> None:
    with pytest.raises(InputError, match=line) as caught:
        wrong()
    assert "\n" not in str(caught.value)
