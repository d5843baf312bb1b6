"""Plain batches: every image once an epoch, in an order that depends on the epoch's number."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fewshot.errors import InputError
from fewshot.randomness import stream_bits
from fewshot.sampling.class_table import ClassTable


@dataclass(frozen=True)
class ShuffledBatches:
    """Batches of `batch` images; the last, incomplete one of an epoch is left out.

    Attributes:
        table: the classes drawn from.
        batch: images in one training step.
        seed, stream: key of the random numbers.
    """

    table: ClassTable
    batch: int
    seed: int
    stream: str

    def __post_init__(self) -> None:
        images = len(self.table.all_images)
        if not 1 <= self.batch <= images:
            raise InputError(f"sampler.batch={self.batch}, but there are {images} images for {self.stream}")

    @property
    def steps_per_epoch(self) -> int:
        return len(self.table.all_images) // self.batch

    def order(self, epoch: int) -> NDArray[np.int64]:
        """int64 [images], the order of all images in an epoch."""
        images = self.table.all_images
        keys = stream_bits(self.seed, self.stream, np.array([epoch]), len(images))[0]
        return images[np.argsort(keys, kind="stable")]

    def step(self, step: int) -> NDArray[np.int64]:
        """int64 [batch], the images of training step `step`."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch not in self._orders:
            self._orders.clear()
            self._orders[epoch] = self.order(epoch)
        return self._orders[epoch][place * self.batch : (place + 1) * self.batch]

    @cached_property
    def _orders(self) -> dict[int, NDArray[np.int64]]:
        """That of the epoch drawn from last: sorting all images can cost more than a training step."""
        return {}
