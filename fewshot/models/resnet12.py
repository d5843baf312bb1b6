"""ResNet-12, the residual network of few-shot papers (Oreshkin et al. 2018; Lee et al. 2019)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from fewshot.models.backbone import Backbone
from fewshot.models.dropblock import DropBlock

_SLOPE = 0.1


class ResidualBlock(nn.Module):
    """Three 3x3 convolutions beside a 1x1 shortcut, then a 2x2 max-pool.

    [n, c, h, w] -> [n, width, h // 2, w // 2]. The pool comes before the last LeakyReLU: the two commute,
    since that function rises throughout, and it then touches a quarter of the positions.
    """

    def __init__(self, in_channels: int, width: int, drop: nn.Module) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, kernel_size=3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False)
        self.norm3 = nn.BatchNorm2d(width)
        self.shortcut = nn.Sequential(
            nn.Conv2d(in_channels, width, kernel_size=1, bias=False), nn.BatchNorm2d(width)
        )
        self.pool = nn.MaxPool2d(2)
        self.drop = drop

    def forward(self, x: Tensor) -> Tensor:
        residual = F.leaky_relu(self.norm1(self.conv1(x)), _SLOPE)
        residual = F.leaky_relu(self.norm2(self.conv2(residual)), _SLOPE)
        residual = self.norm3(self.conv3(residual))
        dropped: Tensor = self.drop(F.leaky_relu(self.pool(residual + self.shortcut(x)), _SLOPE))
        return dropped


class ResNet12(Backbone):
    """Four residual blocks; 84 px images give a map of widths[-1] x 5 x 5.

    Convolutions start Kaiming normal by fan-out.

    Args:
        in_channels: channels of the images.
        widths: of the blocks: 64-160-320-640 in most papers, 64-128-256-512 in SuSana.
        dropout: rate of elementwise dropout after every block that has no DropBlock.
        dropblock: final rate of DropBlock after the last two blocks (0.1 in Lee et al.); 0 is none.
        dropblock_size: side of a dropped block.
        dropblock_warmup: training forwards over which the rate rises from 0 (40,000 in Lee et al.).
        pool: see `Backbone`.
    """

    def __init__(
        self,
        in_channels: int = 3,
        widths: Sequence[int] = (64, 160, 320, 640),
        dropout: float = 0.0,
        dropblock: float = 0.0,
        dropblock_size: int = 5,
        dropblock_warmup: int = 0,
        pool: str = "average",
    ) -> None:
        stages: dict[str, nn.Module] = {}
        for i, (below, width) in enumerate(itertools.pairwise((in_channels, *widths))):
            last_two = i >= len(widths) - 2
            drop = (
                DropBlock(dropblock, dropblock_size, dropblock_warmup)
                if dropblock and last_two
                else nn.Dropout(dropout)
            )
            stages[f"block{i + 1}"] = ResidualBlock(below, width, drop)
        super().__init__(stages, channels=widths[-1], in_channels=in_channels, pool=pool)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="leaky_relu")
