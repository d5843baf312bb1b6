"""Images stored as rows of numbers in a pickle: the layout of CIFAR and of the downsampled ImageNet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewshot.errors import InputError


def rgb_images(data: Any, count: int, side: int, name: str) -> NDArray[np.uint8]:
    """Rows [n, 3 * side * side], one channel after the other, or images as they are: [n, side, side, 3].

    Raises:
        InputError: they are not `count` RGB images of that side; the text says which file, `name`.
    """
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.size != count * 3 * side * side:
        raise InputError(
            f"{name}: its data are not {count} RGB images of {side} x {side} pixels; get the file again"
        )
    if data.ndim == 4 and data.shape[1:] != (side, side, 3):
        raise InputError(f"{name}: its data have the shape {list(data.shape)}; get the file again")
    return data if data.ndim == 4 else data.reshape(-1, 3, side, side).transpose(0, 2, 3, 1)


def check_rows(labels: NDArray[np.int64], files: Sequence[str], classes: int, name: str) -> None:
    """That each row has a file and one of the classes.

    Raises:
        InputError: it has not; the text says which file, `name`.
    """
    if len(labels) != len(files):
        raise InputError(f"{name}: has {len(labels)} labels for {len(files)} images; get the file again")
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        raise InputError(f"{name}: has labels outside its {classes} classes; get the file again")
