"""ResNet-10, -18 and -34 from scratch (He et al. 2016), with the stems that small images need."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fewshot.errors import InputError
from fewshot.models.backbone import Backbone

# Basic blocks in each of the four stages.
_DEPTHS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside the identity: [n, c, h, w] -> [n, width, h', w'], h' = ceil(h / stride)."""

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, kernel_size=3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != width:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, width, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x: Tensor) -> Tensor:
        residual = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(residual)) + self.shortcut(x))


class ResNet(Backbone):
    """Stem and four stages of width, 2, 4 and 8 times `width`; convolutions start Kaiming normal by fan-out.

    Args:
        in_channels: channels of the images.
        depth: 10, 18 or 34.
        width: filters of the stem and the first stage.
        stem: `small`, a 3x3 convolution of stride 1 without pooling, for CIFAR and 84 px (SimpleShot, PRD);
            `large`, 7x7 of stride 2 and a 3x3 max-pool of stride 2, for 224 px (the ImageNet network,
            CloserLook).
        pool: see `Backbone`.

    Raises:
        InputError: another depth or stem.
    """

    def __init__(
        self,
        in_channels: int = 3,
        depth: int = 18,
        width: int = 64,
        stem: str = "small",
        pool: str = "average",
    ) -> None:
        if depth not in _DEPTHS:
            raise InputError(f"backbone.depth={depth} is not built here; choose 10, 18 or 34")
        stages: dict[str, nn.Module] = {"stem": _stem(stem, in_channels, width)}
        below = width
        for i, blocks in enumerate(_DEPTHS[depth]):
            stages[f"stage{i + 1}"] = _stage(below, width << i, blocks, stride=1 if i == 0 else 2)
            below = width << i
        super().__init__(stages, channels=below, in_channels=in_channels, pool=pool)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def _stem(kind: str, in_channels: int, width: int) -> nn.Sequential:
    small = kind == "small"
    if not small and kind != "large":
        raise InputError(f"backbone.stem={kind} is not known; choose small or large")
    kernel, stride = (3, 1) if small else (7, 2)
    return nn.Sequential(
        nn.Conv2d(in_channels, width, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Identity() if small else nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
    )


def _stage(in_channels: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    first = BasicBlock(in_channels, width, stride)
    return nn.Sequential(first, *(BasicBlock(width, width, stride=1) for _ in range(blocks - 1)))
