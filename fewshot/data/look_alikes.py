"""One class for one outline: which characters of different scripts, or of one, look the same."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from fewshot.data.geometry import resized_crop
from fewshot.data.glyph_outlines import EXTENT, RASTER, rasterise
from fewshot.data.glyph_scripts import Character, characters

ALIKE = 0.92
"""Outlines that correlate more than this are one."""
ASPECT = 1.5
"""Outlines whose width / height differ by less than this factor are also compared at one width and height."""

_SIDE = 24


@functools.cache
def glyph_classes() -> tuple[Character, ...]:
    """The characters of `glyph_scripts`, one for each outline."""
    return tuple(distinct(characters()))


def distinct(found: Sequence[Character]) -> list[Character]:
    """Drop every character that looks like an earlier one.

    Latin A, Greek Alpha and Cyrillic A have one outline; so have small and capital O once both are
    brought to one size. Each character is drawn in the first font that has it, blurred and centred.
    Two whose pixels correlate by more than ALIKE, at their own proportions or, unless those differ
    much, stretched to one width and height, are alike, and the later one is dropped. So each
    outline is one class, in the split of the first script of the table.
    """
    rasters = _rasters(found)
    ink = torch.from_numpy(rasters >= 128)
    alike = _correlation(torch.from_numpy(rasters)) > ALIKE
    boxes = [ink.any(2).int(), ink.any(1).int()]  # rows and columns with ink, each [n, RASTER]
    (top, height), (left, width) = [(axis.argmax(1), axis.sum(1).clamp_(min=1)) for axis in boxes]
    stretched = resized_crop(torch.from_numpy(rasters[:, None]).float(), top, left, height, width, EXTENT)
    aspect = (width / height).log()
    similar = (aspect[:, None] - aspect).abs() < np.log(ASPECT)
    alike |= (_correlation(stretched[:, 0]) > ALIKE) & similar
    table, drawn = alike.numpy(), ink.flatten(1).any(1).tolist()
    kept: list[int] = []
    for row in range(len(found)):
        if drawn[row] and not table[row, kept].any():
            kept.append(row)
    return [found[row] for row in kept]


def _rasters(found: Sequence[Character]) -> NDArray[np.uint8]:
    """Each character in its first font: uint8 [n, RASTER, RASTER]."""
    rasters = np.zeros((len(found), RASTER, RASTER), dtype=np.uint8)
    first = np.array([character.fonts[0] for character in found])
    for font in np.unique(first):
        rows = np.flatnonzero(first == font)
        rasters[rows] = rasterise([found[row].code for row in rows.tolist()], str(font))
    return rasters


def _correlation(rasters: Tensor) -> Tensor:
    """Correlation of the pixels of all pairs, after a slight blur: [n, h, w] -> float32 [n, n]."""
    small = functional.interpolate(rasters[:, None].float(), (_SIDE, _SIDE), mode="bilinear", antialias=True)
    pixels = functional.avg_pool2d(small, 3, stride=1, padding=1).flatten(1)
    pixels = pixels - pixels.mean(1, keepdim=True)
    pixels = pixels / pixels.norm(dim=1, keepdim=True).clamp_(min=1e-6)
    return torch.matmul(pixels, pixels.mT)
