"""From the number of a step to a batch of augmented images on the device.

A feed is all that the training loop knows of data: `feed(step)` draws indices, gathers uint8
images and augments them, each keyed by (seed, stream, step), so that a feed has no state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from fewshot.data.image_set import ImageSet
from fewshot.randomness import generator
from fewshot.sampling.episodes import EpisodeSampler
from fewshot.sampling.shuffled import ShuffledBatches

Augment = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class Batch:
    """What an objective is given.

    Attributes:
        images: float32 in [0, 1], [n, channels, height, width].
        labels: int64 [n], numbers of the training classes, 0 up to the count of them.
        episodes: (episodes, ways, shots, queries) where the images are episodes, flattened from
            [episodes, ways, shots + queries]; None for a plain batch.
    """

    images: Tensor
    labels: Tensor
    episodes: tuple[int, int, int, int] | None = None


class Feed(Protocol):
    """A source of batches for the training loop."""

    @property
    def steps_per_epoch(self) -> int: ...

    def __call__(self, step: int) -> Batch: ...


@dataclass(frozen=True)
class EpisodeFeed:
    """Episodes of augmented images.

    Attributes:
        image_set: where the images are.
        sampler: which episodes a step has.
        augment: (uint8 images, generator) -> float images.
        device: where the batch is wanted.
    """

    image_set: ImageSet
    sampler: EpisodeSampler
    augment: Augment
    device: torch.device

    @property
    def steps_per_epoch(self) -> int:
        return self.sampler.steps_per_epoch

    def __call__(self, step: int) -> Batch:
        sampler = self.sampler
        drawn = sampler.step(step)
        each = sampler.shots + sampler.queries
        images = self.image_set.gather(drawn.images.reshape(-1)).to(self.device, non_blocking=True)
        labels = torch.from_numpy(drawn.ways).repeat_interleave(each).to(self.device, non_blocking=True)
        augmented = self.augment(images, generator(sampler.seed, "augmentation", step, self.device))
        return Batch(augmented, labels, (len(drawn.images), sampler.ways, sampler.shots, sampler.queries))


@dataclass(frozen=True)
class ShuffledFeed:
    """Plain batches of augmented images; the attributes are those of `EpisodeFeed`."""

    image_set: ImageSet
    sampler: ShuffledBatches
    augment: Augment
    device: torch.device

    @property
    def steps_per_epoch(self) -> int:
        return self.sampler.steps_per_epoch

    def __call__(self, step: int) -> Batch:
        drawn = self.sampler.step(step)
        images = self.image_set.gather(drawn).to(self.device, non_blocking=True)
        labels = self._label_of_image[torch.from_numpy(drawn)]
        augmented = self.augment(images, generator(self.sampler.seed, "augmentation", step, self.device))
        return Batch(augmented, labels.to(self.device, non_blocking=True))

    @cached_property
    def _label_of_image(self) -> Tensor:
        """int64 [highest image number + 1]: the row of the class table that an image belongs to."""
        table = self.sampler.table
        label = torch.full((int(table.images.max()) + 1,), -1, dtype=torch.int64)
        rows = torch.arange(len(table.classes)).repeat_interleave(torch.from_numpy(table.counts))
        label[torch.from_numpy(table.all_images)] = rows
        return label


def feed_for(
    image_set: ImageSet, sampler: EpisodeSampler | ShuffledBatches, augment: Augment, device: torch.device
) -> Feed:
    """The feed that fits a sampler."""
    if isinstance(sampler, EpisodeSampler):
        return EpisodeFeed(image_set, sampler, augment, device)
    return ShuffledFeed(image_set, sampler, augment, device)
