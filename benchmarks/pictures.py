"""Class folders of JPEG files, made anew: what they show makes no difference to the time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

COARSE = 6
"""Pixels of the side that are drawn; what lies between is interpolated, as in photos."""


def jpeg_folders(folder: Path, classes: int, each: int, size: int) -> Path:
    """Write `each` pictures of `size` px of every class to folder/CLASS/NUMBER.jpg; returns the folder."""
    draw = np.random.default_rng(0)
    for number in range(classes):
        of_class = folder / f"class{number:02d}"
        of_class.mkdir(parents=True)
        pattern = draw.uniform(0, 255, (COARSE, COARSE, 3))
        for place in range(each):
            coarse = 0.5 * pattern + 0.5 * draw.uniform(0, 255, pattern.shape)
            picture = Image.fromarray(coarse.astype(np.uint8)).resize((size, size), Image.Resampling.BICUBIC)
            noisy = np.asarray(picture) + draw.normal(0, 8, (size, size, 3))
            Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(
                of_class / f"{place:04d}.jpg", quality=90
            )
    return folder
