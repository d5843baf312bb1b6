"""Conv4 against the published block, written out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from fewshot.models.conv4 import Conv4


class PublishedBlock(nn.Sequential):
    """Convolution with bias, BatchNorm, ReLU, max-pool, in the order of the paper."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2)
        )


def twins(dtype: torch.dtype) -> tuple[Conv4, nn.Sequential]:
    torch.manual_seed(0)
    published = nn.Sequential(*(PublishedBlock(3 if i == 0 else 8, 8) for i in range(4))).to(dtype)
    ours = Conv4(width=8).to(dtype)
    for block, own in zip(published, ours.stages, strict=True):
        with torch.no_grad():
            # Weights of both signs: a pool that commuted only with a rising BatchNorm would show.
            block[1].weight.copy_(torch.randn(8))
            block[1].bias.copy_(torch.randn(8))
        own.conv.weight.data.copy_(block[0].weight)
        own.norm.load_state_dict(block[1].state_dict())
    return ours, published


def gradients(network: nn.Module, images: Tensor) -> list[Tensor]:
    made = network(images)
    made.mul(torch.linspace(-1, 1, made.numel(), dtype=made.dtype).view_as(made)).sum().backward()
    return [p.grad for name, p in network.named_parameters() if "0.bias" not in name and p.grad is not None]


def test_output_and_gradients_are_those_of_the_published_block() -> None:
    ours, published = twins(torch.float64)
    images = torch.randn(6, 3, 36, 36, dtype=torch.float64)
    torch.testing.assert_close(ours(images), published(images), rtol=1e-10, atol=1e-10)
    for own, theirs in zip(gradients(ours, images), gradients(published, images), strict=True):
        torch.testing.assert_close(own, theirs, rtol=1e-8, atol=1e-8)


def test_the_bias_of_the_published_convolution_has_no_gradient() -> None:
    _, published = twins(torch.float64)
    gradients(published, torch.randn(6, 3, 36, 36, dtype=torch.float64))
    for block in published:
        assert block[0].bias.grad.abs().max() < 1e-10 * max(1.0, block[0].weight.grad.abs().max())


@pytest.mark.parametrize(("size", "side"), [(84, 5), (32, 2), (28, 1), (16, 1)])
def test_map(size: int, side: int) -> None:
    assert Conv4()(torch.randn(2, 3, size, size)).shape == (2, 64, side, side)


def test_parameter_count() -> None:
    # 113,088 in the papers, less the 4 x 64 biases of the convolutions.
    assert sum(p.numel() for p in Conv4().parameters()) == 113_088 - 256


def test_width_depth_and_channels() -> None:
    made = Conv4(in_channels=1, width=32, depth=2)(torch.randn(2, 1, 28, 28))
    assert made.shape == (2, 32, 7, 7)
