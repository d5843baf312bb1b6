"""Wide residual networks (Zagoruyko & Komodakis 2016), by default WRN-28-10 as in LEO and S2M2."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fewshot.errors import InputError
from fewshot.models.backbone import Backbone


class PreActivationBlock(nn.Module):
    """BatchNorm, ReLU and 3x3 convolution, twice, beside the identity: [n, c, h, w] -> [n, width, h', w'].

    h' = ceil(h / stride). Where the shape changes, the 1x1 shortcut starts from the activated input, as in
    the paper's code.
    """

    def __init__(self, in_channels: int, width: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, width, kernel_size=3, stride=stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.drop = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False)
        self.shortcut = (
            None
            if stride == 1 and in_channels == width
            else nn.Conv2d(in_channels, width, kernel_size=1, stride=stride, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        activated = torch.relu(self.norm1(x))
        residual: Tensor = self.conv2(self.drop(torch.relu(self.norm2(self.conv1(activated)))))
        return residual + (x if self.shortcut is None else self.shortcut(activated))


class WideResNet(Backbone):
    """Stem of 16 filters and three stages of 16, 32 and 64 times `widen`.

    WRN-28-10 turns 80 px images into a map of 640 x 20 x 20. Convolutions start Kaiming normal by fan-out.

    Args:
        in_channels: channels of the images.
        depth: 6 b + 4 convolutions for b blocks a stage.
        widen: factor on the widths.
        dropout: rate between the two convolutions of each block.
        pool: see `Backbone`.

    Raises:
        InputError: a depth that is not 6 b + 4.
    """

    def __init__(
        self,
        in_channels: int = 3,
        depth: int = 28,
        widen: int = 10,
        dropout: float = 0.0,
        pool: str = "average",
    ) -> None:
        blocks, rest = divmod(depth - 4, 6)
        if rest or blocks < 1:
            raise InputError(
                f"backbone.depth={depth} is not 6 b + 4 for a wide ResNet; use 10, 16, 22, 28, ..."
            )
        stages: dict[str, nn.Module] = {
            "stem": nn.Conv2d(in_channels, 16, kernel_size=3, padding=1, bias=False)
        }
        below = 16
        for i in range(3):
            width = (16 << i) * widen
            layers: list[nn.Module] = [PreActivationBlock(below, width, 1 if i == 0 else 2, dropout)]
            layers += [PreActivationBlock(width, width, 1, dropout) for _ in range(blocks - 1)]
            if i == 2:
                layers += [nn.BatchNorm2d(width), nn.ReLU()]
            stages[f"stage{i + 1}"] = nn.Sequential(*layers)
            below = width
        super().__init__(stages, channels=below, in_channels=in_channels, pool=pool)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
