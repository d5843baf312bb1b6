"""DropBlock (Ghiasi et al. 2018): zeroes square blocks of a map, at a rate that may rise in training."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def drop_blocks(features: Tensor, rate: Tensor | float, block_size: int) -> Tensor:
    """Zeroes blocks of about `rate` of the positions of a map [n, c, h, w]; each channel draws its own.

    Blocks start at a position with probability gamma (equation 1 of the paper), and what is left is scaled up
    by the share that fell. A block larger than the map is cut to it. Draws from torch's own generator of
    the device, as dropout does, so that it can be compiled: whoever trains seeds that one for each step.
    """
    n, c, height, width = features.shape
    block_h, block_w = min(block_size, height), min(block_size, width)
    valid_h, valid_w = height - block_h + 1, width - block_w + 1
    gamma = rate * (height * width) / (block_h * block_w * valid_h * valid_w)
    corners = (torch.rand(n, c, valid_h, valid_w, device=features.device) < gamma).to(features.dtype)
    # A block covers every position at most block - 1 after its corner.
    padded = F.pad(corners, (block_w - 1, block_w - 1, block_h - 1, block_h - 1))
    keep = 1 - F.max_pool2d(padded, (block_h, block_w), stride=1)
    kept = keep.float().mean().clamp_min(1 / keep.numel())  # every block may fall: 0 times a finite scale
    return features * keep * kept.reciprocal().to(features.dtype)


class DropBlock(nn.Module):
    """`drop_blocks` while training, with a rate that rises linearly from 0 to `rate` in `warmup` forwards.

    The count of forwards is a buffer: it is saved with the weights and never read back by the host.
    """

    count: Tensor

    def __init__(self, rate: float, block_size: int = 5, warmup: int = 0) -> None:
        super().__init__()
        self.rate = rate
        self.block_size = block_size
        self.warmup = warmup
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def forward(self, features: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return features
        self.count += 1
        rate = (self.count / self.warmup).clamp(max=1) * self.rate if self.warmup else self.rate
        return drop_blocks(features, rate, self.block_size)
