"""Characters as signed distance fields, from which they can be drawn at any stroke width.

A raster is RASTER x RASTER pixels; the character is centred and its longer side is EXTENT pixels,
so that neither its place nor its size names the class.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFont
from torch import Tensor

from fewshot.data.glyph_scripts import font_file

RASTER = 64
EXTENT = 42
REACH = 8
"""Distances beyond this many raster pixels are cut off."""


def rasterise(codes: Sequence[int], font: str) -> NDArray[np.uint8]:
    """Ink of single characters of one font: uint8 [n, RASTER, RASTER], 255 is ink."""
    # Drawn larger than needed and shrunk, so that hinting to the pixel grid leaves no trace.
    face = ImageFont.truetype(str(font_file(font)), 3 * RASTER // 2, layout_engine=ImageFont.Layout.BASIC)
    rasters = np.zeros((len(codes), RASTER, RASTER), dtype=np.uint8)
    for raster, code in zip(rasters, codes, strict=True):
        mask = face.getmask(chr(code), mode="L")
        drawn = Image.frombytes("L", mask.size, bytes(mask))
        box = drawn.getbbox()
        if box is None:
            continue
        drawn = drawn.crop(box)
        scale = EXTENT / max(drawn.size)
        width, height = (max(1, round(side * scale)) for side in drawn.size)
        top, left = (RASTER - height) // 2, (RASTER - width) // 2
        shrunk = drawn.resize((width, height), Image.Resampling.BOX)
        raster[top : top + height, left : left + width] = np.asarray(shrunk)
    return rasters


def distance_to(points: Tensor) -> Tensor:
    """Euclidean distance of every pixel to the nearest point of its raster, cut off at REACH.

    Exact within the reach, separable: along columns first, then the lower envelope of the parabolas
    d^2 + k^2 along rows (Felzenszwalb & Huttenlocher 2012), here over the 2 REACH + 1 offsets k that count.

    Args:
        points: bool [n, h, w].

    Returns:
        float32 [n, h, w].
    """
    squared = torch.where(points, 0, REACH**2).to(torch.uint8)  # sums stay below 2 REACH^2 = 128
    for axis in (1, 2):
        source = squared
        squared = source.clone()
        side = source.shape[axis]
        for offset in range(1, REACH):
            near = source.narrow(axis, 0, side - offset) + offset**2
            far = source.narrow(axis, offset, side - offset) + offset**2
            lower, upper = squared.narrow(axis, offset, side - offset), squared.narrow(axis, 0, side - offset)
            torch.minimum(lower, near, out=lower)
            torch.minimum(upper, far, out=upper)
    return squared.float().sqrt_()


def distance_fields(rasters: NDArray[np.uint8]) -> Tensor:
    """Signed distance to the outline, positive inside.

    Args:
        rasters: uint8 [n, h, w], 255 is ink.

    Returns:
        float32 [n, h, w], raster pixels.
    """
    ink = torch.from_numpy(rasters) >= 128
    # Half a pixel each, since the outline runs between the last pixel inside and the first one outside.
    return torch.where(ink, distance_to(~ink) - 0.5, 0.5 - distance_to(ink))
