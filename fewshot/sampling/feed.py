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

from fewshot.data.augmentation import SharedDraws
from fewshot.data.image_set import ImageSet
from fewshot.distributed import ALONE, Processes
from fewshot.models.embedder import Embedder
from fewshot.randomness import generator
from fewshot.sampling.class_means import class_means
from fewshot.sampling.class_table import ClassTable
from fewshot.sampling.episodes import EpisodeSampler
from fewshot.sampling.hard_classes import HardClasses
from fewshot.share import Share

Augment = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class Batch:
    """What an objective is given.

    Attributes:
        images: float32 in [0, 1], [n, channels, height, width]; of several processes, this one's share.
        labels: int64 [n], numbers of the training classes, 0 up to the count of them; of the whole batch.
        episodes: (episodes, ways, shots, queries) where the images are episodes, flattened from
            [episodes, ways, shots + queries]; None for a plain batch.
        largest_class: the largest number of images of one class, counted on the host from what the sampler
            drew, so that nobody waits for the device to size a table by it; None if nobody counted.
        share: which images of the batch are here, where several processes share it.
    """

    images: Tensor
    labels: Tensor
    episodes: tuple[int, int, int, int] | None = None
    largest_class: int | None = None
    share: Share | None = None


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


class Gathered(Protocol):
    """Where what is embedded comes from by number: pixels of an ImageSet, or features made of them before."""

    def gather(self, indices: NDArray[np.int64]) -> Tensor:
        """Those at int64 [n]."""
        ...


@dataclass(frozen=True)
class EpisodeFeed:
    """Episodes of augmented images.

    Attributes:
        image_set: where the images are.
        sampler: which episodes a step has.
        augment: (uint8 images, generator) -> float images.
        device: where the batch is wanted.
        processes: that share the batches; the one that asks is given its own part.
    """

    image_set: Gathered
    sampler: EpisodeSampler
    augment: Augment
    device: torch.device
    processes: Processes = ALONE

    @property
    def steps_per_epoch(self) -> int:
        return self.sampler.steps_per_epoch

    def __call__(self, step: int) -> Batch:
        sampler = self.sampler
        drawn = sampler.step(step)
        each = sampler.shots + sampler.queries
        share = self.processes.share(len(drawn.images), sampler.ways * each)
        mine = drawn.images.reshape(-1) if share is None else drawn.images.reshape(-1)[share.part]
        images = self.image_set.gather(mine).to(self.device, non_blocking=True)
        labels = torch.from_numpy(drawn.ways).repeat_interleave(each).to(self.device, non_blocking=True)
        augmented = self.augment(images, draws(sampler.seed, step, self.device, share))
        return Batch(
            augmented,
            labels,
            (len(mine) // (sampler.ways * each), sampler.ways, sampler.shots, sampler.queries),
            # A class may be a way of several episodes.
            each * int(np.bincount(drawn.ways.reshape(-1)).max()),
            share,
        )


@dataclass(frozen=True)
class PlainFeed:
    """Plain batches of augmented images; the attributes are those of `EpisodeFeed`."""

    image_set: Gathered
    sampler: PlainSampler
    augment: Augment
    device: torch.device
    processes: Processes = ALONE

    @property
    def steps_per_epoch(self) -> int:
        return self.sampler.steps_per_epoch

    def __call__(self, step: int) -> Batch:
        drawn = self.sampler.step(step)
        share = self.processes.share(len(drawn))
        mine = drawn if share is None else drawn[share.part]
        images = self.image_set.gather(mine).to(self.device, non_blocking=True)
        rows = self._row_of_image[drawn]
        labels = torch.from_numpy(rows).to(self.device, non_blocking=True)
        augmented = self.augment(images, draws(self.sampler.seed, step, self.device, share))
        return Batch(augmented, labels, largest_class=int(np.bincount(rows).max()), share=share)

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

    image_set: ImageSet
    sampler: HardClasses

    def refresh(self, embedder: Embedder, step: int) -> None:
        sampler = self.sampler
        if sampler.due(step):
            images = sampler.images_for_means
            # One process looks: batches of processes that see other neighbours would not fit together.
            means = self.processes.told_by_first(
                lambda: class_means(embedder, self.image_set, sampler.table, images, self.device).cpu()
            )
            sampler.observe(means.to(self.device))

    def state_dict(self) -> dict[str, Any]:
        return self.sampler.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.sampler.load_state_dict(state)


def draws(seed: int, step: int, device: torch.device, share: Share | None) -> torch.Generator:
    """The random numbers that a step's images are augmented with."""
    made = generator(seed, "augmentation", step, device)
    return made if share is None else SharedDraws(made, share)


def feed_for(
    image_set: ImageSet | Gathered,
    sampler: EpisodeSampler | PlainSampler,
    augment: Augment,
    device: torch.device,
    processes: Processes = ALONE,
) -> EpisodeFeed | PlainFeed:
    """The feed that fits a sampler."""
    if isinstance(sampler, EpisodeSampler):
        return EpisodeFeed(image_set, sampler, augment, device, processes)
    if isinstance(sampler, HardClasses):
        if not isinstance(image_set, ImageSet):
            raise TypeError("HardClasses looks at the network, which needs the pixels")
        return HardClassFeed(image_set, sampler, augment, device, processes)
    return PlainFeed(image_set, sampler, augment, device, processes)
