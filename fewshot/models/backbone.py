"""What every backbone is: named stages that run in order, from images to a map of features."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fewshot.errors import InputError
from fewshot.models.pooling import POOLINGS


@dataclass(frozen=True)
class Preprocessing:
    """How images were brought to a square before foreign weights saw them.

    Attributes:
        size: side of the square in pixels.
        resize: short side before the centre crop, for "cover".
        fit: "cover" or "squash", as in `fewshot.data.decoding.fit_square`.
        bicubic: the filter; else bilinear.
    """

    size: int
    resize: int
    fit: str = "cover"
    bicubic: bool = False


class Backbone(nn.Module):
    """Maps normalised images [n, in_channels, height, width] to features [n, channels, h, w].

    A new backbone subclasses this one, builds its stages and hands them to the constructor; `Embedder`
    adds normalisation, pooling and head, and can stop after or start from any stage.

    Attributes:
        stages: the named children, run in order; each takes and returns a map [n, c, h, w].
        channels: c of the last map.
        in_channels: c of the images.
        pool: how the last map becomes a vector, a name of `fewshot.models.pooling.POOLINGS`. It is an
            argument of the backbone because papers fix the two together; `Embedder` applies it.
        weights_origin: what the weights were trained on outside this project; "none" if from scratch.
        normalisation: mean and std (in units of [0, 1] images) that foreign weights were trained
            with; None where those of the data set apply.
        preprocessing: of foreign weights; None where that of the data set applies.
    """

    stages: nn.Sequential

    def __init__(self, stages: Mapping[str, nn.Module], channels: int, in_channels: int, pool: str) -> None:
        super().__init__()
        if pool not in POOLINGS:
            raise InputError(f"backbone.pool={pool} is not a pooling; choose one of {', '.join(POOLINGS)}")
        self.stages = nn.Sequential(OrderedDict(stages))
        self.channels = channels
        self.in_channels = in_channels
        self.pool = pool
        self.weights_origin = "none"
        self.normalisation: tuple[tuple[float, ...], tuple[float, ...]] | None = None
        self.preprocessing: Preprocessing | None = None

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.stages(images)
        return features


def output_shape(network: nn.Module, images: tuple[int, ...]) -> tuple[int, ...]:
    """Shape that `network` makes of images of that shape: a pass on the meta device, which computes nothing.

    Raises:
        RuntimeError: torch's own, where the images vanish on the way.
    """
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    shapes = {name: tensor.to("meta") for name, tensor in tensors.items()}
    with torch.no_grad():
        made: Tensor = torch.func.functional_call(network, shapes, (torch.empty(images, device="meta"),))
    return tuple(made.shape)
