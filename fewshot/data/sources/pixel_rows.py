"""Images stored as rows of numbers in a pickle: the layout of CIFAR and of the downsampled ImageNet."""

from __future__ import annotations

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
    return data if data.ndim == 4 else data.reshape(-1, 3, side, side).transpose(0, 2, 3, 1)
