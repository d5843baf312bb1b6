"""From the number of a step to a batch of augmented images on the device.

A feed is all that the training loop knows of data: `feed(step)` draws indices, gathers uint8
images and augments them, each keyed by (seed, stream, step). So a feed has no state, unless what it
draws depends on the network (`AdaptiveFeed`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fewshot.data.image_set import ImageSet
from fewshot.models.embedder import Embedder
from fewshot.randomness import generator
from fewshot.sampling.class_means import class_means
from fewshot.sampling.class_table import ClassTable
from fewshot.sampling.episodes import EpisodeSampler
from fewshot.sampling.hard_classes import HardClasses

Augment = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class Batch:
    """What an objective is given.

    Attributes:
        images: float32 in [0, 1], [n, channels, height, width].
        labels: int64 [n], numbers of the training classes, 0 up to the count of them.
        episodes: (episodes, ways, shots, queries) where the images are episodes, flattened from
            [episodes, ways, shots + queries]; None for a plain batch.
        largest_class: the largest number of images of one class, counted on the host from what the sampler
            drew, so that nobody waits for the device to size a table by it; None if nobody counted.
    """

    images: Tensor
    labels: Tensor
    episodes: tuple[int, int, int, int] | None = None
    largest_class: int | None = None


class Feed(Protocol):
    """A source of batches for the training loop."""

    @property
    def steps_per_epoch(self) -> int: ...

    def __call__(self, step: int) -> Batch: ...


@runtime_checkable
class AdaptiveFeed(Feed, Protocol):
    """A feed that looks at the network, and so has a state beside the step."""

    def refresh(self, embedder: Embedder, step: int) -> None:
        """Called before each step; looks at the embedder where the step asks for it."""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


class PlainSampler(Protocol):
    """A sampler of batches that are no episodes; its draws are keyed by (seed, stream, step)."""

    @property
    def table(self) -> ClassTable: ...

    @property
    def seed(self) -> int: ...

    @property
    def steps_per_epoch(self) -> int: ...

    def step(self, step: int) -> NDArray[np.int64]:
        """int64 [batch], the images of training step `step`."""
        ...


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
        return Batch(
            augmented,
            labels,
            (len(drawn.images), sampler.ways, sampler.shots, sampler.queries),
            # A class may be a way of several episodes.
            each * int(np.bincount(drawn.ways.reshape(-1)).max()),
        )


@dataclass(frozen=True)
class PlainFeed:
    """Plain batches of augmented images; the attributes are those of `EpisodeFeed`."""

    image_set: ImageSet
    sampler: PlainSampler
    augment: Augment
    device: torch.device

    @property
    def steps_per_epoch(self) -> int:
        return self.sampler.steps_per_epoch

    def __call__(self, step: int) -> Batch:
        drawn = self.sampler.step(step)
        images = self.image_set.gather(drawn).to(self.device, non_blocking=True)
        rows = self._row_of_image[drawn]
        labels = torch.from_numpy(rows).to(self.device, non_blocking=True)
        augmented = self.augment(images, generator(self.sampler.seed, "augmentation", step, self.device))
        return Batch(augmented, labels, largest_class=int(np.bincount(rows).max()))

    @cached_property
    def _row_of_image(self) -> NDArray[np.int64]:
        """int64 [highest image number + 1]: the row of the class table that an image belongs to."""
        table = self.sampler.table
        row = np.full(int(table.images.max()) + 1, -1, dtype=np.int64)
        row[table.all_images] = np.repeat(np.arange(len(table.classes)), table.counts)
        return row


@dataclass(frozen=True)
class HardClassFeed(PlainFeed):
    """Plain batches of `HardClasses`, which this shows the embedder to."""

    sampler: HardClasses

    def refresh(self, embedder: Embedder, step: int) -> None:
        sampler = self.sampler
        if sampler.due(step):
            images = sampler.images_for_means
            sampler.observe(class_means(embedder, self.image_set, sampler.table, images, self.device))

    def state_dict(self) -> dict[str, Any]:
        return self.sampler.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.sampler.load_state_dict(state)


def feed_for(
    image_set: ImageSet, sampler: EpisodeSampler | PlainSampler, augment: Augment, device: torch.device
) -> EpisodeFeed | PlainFeed:
    """The feed that fits a sampler."""
    if isinstance(sampler, EpisodeSampler):
        return EpisodeFeed(image_set, sampler, augment, device)
    if isinstance(sampler, HardClasses):
        return HardClassFeed(image_set, sampler, augment, device)
    return PlainFeed(image_set, sampler, augment, device)
