"""Which images each class of a split has, as arrays that samplers index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fewshot.data.image_set import ImageSet


@dataclass(frozen=True)
class ClassTable:
    """The images of some classes of an image set.

    Attributes:
        classes: int64 [classes], class numbers in the image set.
        names: their names, for messages and reports.
        images: int64 [classes, most], image numbers, each row padded with -1.
        counts: int64 [classes], how many images each class has.
        superclasses: name of the superclass of each; None where the data set has none, or nobody asked.
    """

    classes: NDArray[np.int64]
    names: tuple[str, ...]
    images: NDArray[np.int64]
    counts: NDArray[np.int64]
    superclasses: tuple[str, ...] | None = None

    @classmethod
    def of(cls, image_set: ImageSet, chosen: Sequence[str]) -> ClassTable:
        """The table of the classes named in `chosen`, in that order.

        Raises:
            InputError: a chosen class is not in the set.
        """
        classes = image_set.class_indices(chosen)
        rows, counts = image_set.images_of_class
        most = int(counts[classes].max(initial=0))
        return cls(classes, tuple(chosen), rows[classes, :most], counts[classes])

    @property
    def all_images(self) -> NDArray[np.int64]:
        """int64 [sum of counts], every image of the table, class by class."""
        return self.images[self.images >= 0]
