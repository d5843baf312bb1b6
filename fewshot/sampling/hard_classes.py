"""Class-balanced batches whose classes lie near each other, so that their negatives are hard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from fewshot.errors import InputError
from fewshot.sampling.class_table import ClassTable
from fewshot.sampling.classes_by_images import (
    draw_classes,
    draw_images,
    require_classes_by_images,
    words_of_step,
)

_BLOCK = 1024
"""Classes whose similarities to all others are in memory at once."""


@dataclass
class HardClasses:
    """Batches of P classes x K images in groups of classes that the network confuses.

    A step draws ceil(P / group) distinct classes uniformly and fills the group of each, one after the other,
    with those of its nearest classes that the batch does not have yet: hard negative class mining (Sohn 2016,
    "Improved deep metric learning with multi-class N-pair loss objective") with a uniform first class, so
    that no class is left out. Nearness is the cosine of class means. Until the first `observe` the classes
    are uniform, those of `ClassesByImages` of the same key.

    Draws depend on (seed, stream, step) and on the table of neighbours, which `state_dict` holds.

    Attributes:
        table: the classes drawn from, each with an image at least.
        classes: in one training step (P).
        images: of each of these classes (K); with replacement where a class has fewer.
        group: classes near each other, the drawn one included; 1 draws all uniformly.
        refresh: epochs between two looks at the class means.
        images_for_means: images a class, at most, that a mean is taken over; each look embeds them all.
        seed, stream: key of the random numbers.
        neighbours: int64 [classes of the table, P - 1], the nearest other classes of each, nearest first;
            None before the first `observe`.
    """

    table: ClassTable
    classes: int = 20
    images: int = 5
    group: int = 5
    refresh: int = 1
    images_for_means: int = 10
    seed: int = 0
    stream: str = "train"
    neighbours: NDArray[np.int64] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        require_classes_by_images(self.table, self.classes, self.images, self.stream)
        for name in ("refresh", "images_for_means"):
            if getattr(self, name) < 1:
                raise InputError(f"sampler.{name}={getattr(self, name)} for {self.stream} must be at least 1")
        if not 1 <= self.group <= self.classes:
            raise InputError(
                f"sampler.group={self.group} for {self.stream} must lie between 1 and "
                f"sampler.classes={self.classes}"
            )

    @property
    def steps_per_epoch(self) -> int:
        """As many as show each image about once: images of the table // (P K), at least 1."""
        return max(1, int(self.table.counts.sum()) // (self.classes * self.images))

    def due(self, step: int) -> bool:
        """Whether the class means are to be observed before step `step`; never before the first."""
        return step > 0 and step % (self.refresh * self.steps_per_epoch) == 0

    def observe(self, means: Tensor) -> None:
        """Take the neighbours from class means [classes of the table, dim]; their lengths do not matter."""
        unit = F.normalize(means.detach().float(), dim=1)
        nearest = []
        for start in range(0, len(unit), _BLOCK):
            similarity = unit[start : start + _BLOCK] @ unit.T
            similarity.diagonal(start).fill_(-torch.inf)
            nearest.append(similarity.topk(self.classes - 1, dim=1).indices.cpu())
        self.neighbours = torch.cat(nearest).numpy()

    def step(self, step: int) -> NDArray[np.int64]:
        """int64 [classes * images], the images of training step `step`, class by class."""
        words = words_of_step(self.seed, self.stream, step, self.classes, self.images)
        rows = self._rows(words[: self.classes])
        return draw_images(self.table, rows, words[self.classes :].reshape(self.classes, -1))

    def state_dict(self) -> dict[str, Any]:
        return {"neighbours": None if self.neighbours is None else torch.from_numpy(self.neighbours)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state_dict`.

        Raises:
            InputError: it is that of other classes.
        """
        saved: Tensor | None = state["neighbours"]
        wanted = [len(self.table.classes), self.classes - 1]
        if saved is not None and list(saved.shape) != wanted:
            raise InputError(
                f"the saved neighbours of classes are {list(saved.shape)}, those for {self.stream} must be "
                f"{wanted}: restore the data and sampler.classes of that run"
            )
        self.neighbours = None if saved is None else saved.cpu().numpy()

    def _rows(self, words: NDArray[np.uint64]) -> NDArray[np.int64]:
        """int64 [classes], rows of the table, from one random word each."""
        if self.neighbours is None:
            return draw_classes(self.table, words)
        groups = -(-self.classes // self.group)
        first = draw_classes(self.table, words[:groups])
        taken = np.zeros(len(self.table.classes), dtype=bool)
        taken[first] = True
        missing = self.classes - groups
        chosen = [first]
        for near in self.neighbours[first]:
            # P - 1 neighbours always suffice: the batch holds fewer other classes than that.
            new = near[~taken[near]][: min(self.group - 1, missing)]
            taken[new] = True
            missing -= len(new)
            chosen.append(new)
        return np.concatenate(chosen)
