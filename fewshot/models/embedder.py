"""The one embedding network: normalisation, backbone, pooling and head, splittable at any stage."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from fewshot.errors import InputError
from fewshot.models.backbone import Backbone, output_shape
from fewshot.models.heads import Head
from fewshot.models.pooling import POOLINGS


class Embedder(nn.Module):
    """Images to embeddings.

    images --normalise--> backbone stages --> map --pool--> features --head--> embedding

    Three ways through, so that what a loss sees and what evaluation sees is said by name and never by
    train/eval mode:
        `forward`   with the head: what a loss sees; [n, dim].
        `features`  without it: the pooled map, float32; [n, feature_dim].
        `embed`     what evaluation sees: `features` where the head is for training only, else
                    `forward`; [n, embed_dim].
    `up_to` and `from_stage` cut `forward` after a named stage: from_stage(up_to(x, s), s) == forward(x).

    Images are uint8, or floating point in [0, 1], of [n, channels, height, width]. Embeddings are float32,
    under autocast too. Weights and maps are channels_last, the faster layout on CPU and CUDA alike.

    `forward` also takes features [n, feature_dim] that a frozen backbone made before: then it is the head.

    Args:
        backbone: its last map is pooled by `pool`.
        head: a function from the dim of the pooled features to a head.
        mean, std: one number a channel, in units of [0, 1] images. Foreign weights that say what they
            were trained with (`Backbone.normalisation`) override them.
        size: side of the images in pixels. Other sizes may pass through later unless the features are
            `flatten`ed, which ties the dim to it.
        channels: of the images; must be the backbone's.

    Raises:
        InputError: images of that size vanish in the backbone.
        ValueError: channels, mean or std do not fit the backbone.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: Backbone,
        head: Callable[[int], Head],
        *,
        mean: Sequence[float],
        std: Sequence[float],
        size: int,
        channels: int = 3,
    ) -> None:
        super().__init__()
        mean, std = backbone.normalisation or (mean, std)
        if not backbone.in_channels == channels == len(mean) == len(std):
            raise ValueError(
                f"the backbone takes {backbone.in_channels} channels, the images have {channels}, "
                f"mean has {len(mean)} and std {len(std)} numbers; they must agree"
            )
        self.backbone = backbone
        self.pool = POOLINGS[backbone.pool]
        self.size = size
        self.channels = channels
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1))
        self.map_shape = _map_shape(backbone, size)
        self.feature_dim = math.prod(self.map_shape) if backbone.pool == "flatten" else backbone.channels
        self.head = head(self.feature_dim)
        self.dim = self.head.dim
        self.embed_dim = self.feature_dim if self.head.training_only else self.dim
        self._batchnorm_frozen = False
        self._backbone_frozen = False
        self.to(memory_format=torch.channels_last)

    @property
    def stage_names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.backbone.stages.named_children())

    def normalise(self, images: Tensor) -> Tensor:
        """Images [n, channels, height, width] as the backbone takes them: (x - mean) / std, channels_last."""
        self._check(images)
        images = images.contiguous(memory_format=torch.channels_last)
        # One pass less over the pixels than a division by 255 first.
        unit = 1.0 if images.is_floating_point() else 255.0
        return (images - self.mean * unit) / (self.std * unit)

    def up_to(self, images: Tensor, stage: str) -> Tensor:
        """The map [n, c, h, w] that leaves the named stage."""
        return _run(self._stages(stage)[0], self.normalise(images))

    def from_stage(self, features: Tensor, stage: str) -> Tensor:
        """The embedding [n, dim] of a map that left the named stage."""
        return self._project(_run(self._stages(stage)[1], features))

    def forward(self, images: Tensor) -> Tensor:
        if images.ndim == 2:
            embeddings: Tensor = self.head(images)
            return embeddings
        return self._project(self.backbone(self.normalise(images)))

    def features(self, images: Tensor) -> Tensor:
        """Pooled features below the head: float32 [n, feature_dim]."""
        return self._pooled(self.backbone(self.normalise(images)))

    def embed(self, images: Tensor) -> Tensor:
        """What evaluation sees: float32 [n, embed_dim]."""
        return self.features(images) if self.head.training_only else self(images)

    def freeze_batchnorm(self) -> None:
        """Keep every BatchNorm layer in evaluation mode from now on, however often `train` is called.

        Their running statistics stay as they are and normalise the batches of training too; their weights and
        biases are trained as before. It is meant for pretrained weights with small batches, as in Metrix
        (arXiv 2106.04990): fresh layers hold no statistics of anything yet. Checkpoints don't hold it.
        """
        self._batchnorm_frozen = True
        self.train(self.training)

    def freeze_backbone(self) -> None:
        """Take the backbone out of training: no gradients, and evaluation mode from now on."""
        self._backbone_frozen = True
        self.backbone.requires_grad_(False)
        self.train(self.training)

    @contextmanager
    def statistics_kept(self) -> Iterator[None]:
        """Within it, forwards in training mode leave the running statistics of BatchNorm as they are."""
        layers = [
            module
            for module in self.modules()
            if isinstance(module, _BatchNorm) and module.track_running_stats
        ]
        for layer in layers:
            layer.track_running_stats = False
        try:
            yield
        finally:
            for layer in layers:
                layer.track_running_stats = True

    def train(self, mode: bool = True) -> Embedder:
        """Training or evaluation mode, but for what is frozen."""
        super().train(mode)
        if self._backbone_frozen:
            self.backbone.eval()
        if self._batchnorm_frozen:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def describe(self) -> dict[str, Any]:
        """A plain dict for checkpoints and result files: what this network is and where it comes from."""
        return {
            "backbone": type(self.backbone).__name__,
            "stages": list(self.stage_names),
            "pool": self.backbone.pool,
            "head": type(self.head).__name__,
            "head_training_only": self.head.training_only,
            "dim": self.dim,
            "feature_dim": self.feature_dim,
            "embed_dim": self.embed_dim,
            "size": self.size,
            "channels": self.channels,
            "mean": self.mean.flatten().tolist(),
            "std": self.std.flatten().tolist(),
            "parameters": sum(p.numel() for p in self.parameters()),
            "backbone_parameters": sum(p.numel() for p in self.backbone.parameters()),
            "weights_origin": self.backbone.weights_origin,
        }

    def extra_repr(self) -> str:
        # No module shows the pooling, and without it different networks would print alike.
        return f"pool={self.backbone.pool}, size={self.size}, channels={self.channels}"

    def _pooled(self, features: Tensor) -> Tensor:
        pooled = self.pool(features)
        return pooled.float() if pooled.dtype.itemsize < 4 else pooled

    def _project(self, features: Tensor) -> Tensor:
        embeddings: Tensor = self.head(self._pooled(features))
        return embeddings

    def _stages(self, stage: str) -> tuple[list[nn.Module], list[nn.Module]]:
        names = self.stage_names
        if stage not in names:
            raise ValueError(
                f"no stage {stage!r} in {type(self.backbone).__name__}; it has {', '.join(names)}"
            )
        cut = names.index(stage) + 1
        modules = list(self.backbone.stages)
        return modules[:cut], modules[cut:]

    def _check(self, images: Tensor) -> None:
        if images.ndim != 4 or images.shape[1] != self.channels:
            raise ValueError(
                f"images have shape {list(images.shape)}, expected [n, {self.channels}, height, width]"
            )
        if self.backbone.pool == "flatten" and images.shape[2:] != (self.size, self.size):
            raise ValueError(
                f"images are {images.shape[2]} x {images.shape[3]} px, but flattened features were built for "
                f"{self.size} x {self.size}; resize them or build with pool=average"
            )


def _run(modules: Sequence[nn.Module], x: Tensor) -> Tensor:
    for module in modules:
        x = module(x)
    return x


def _map_shape(backbone: Backbone, size: int) -> tuple[int, ...]:
    """[c, h, w] of the last map for images of that size."""
    try:
        return output_shape(backbone, (2, backbone.in_channels, size, size))[1:]
    except RuntimeError as error:
        raise InputError(
            f"{type(backbone).__name__} cannot take images of data.size={size} "
            f"(usually they are too small): {str(error).splitlines()[0]}"
        ) from error
