"""Drawings of characters: random stroke width, affine and elastic warp, edge and noise, from a seed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from fewshot.data.glyph_outlines import RASTER, distance_fields, rasterise
from fewshot.data.glyph_scripts import Character
from fewshot.randomness import stream_bits

RECIPE = 1
"""Part of the pack's key: to be raised with every change that alters a pixel."""

ROTATION = math.radians(15)
SHEAR = 0.25
SCALE = (0.8, 1.15)
SHIFT = 0.12
"""Of half the side of the image."""
BEND = 0.11
"""Greatest displacement at a node of the elastic warp, in half sides; NODES x NODES nodes."""
NODES = 4
STROKE = (-0.5, 2.2)
"""Raster pixels by which the outline moves outwards."""
EDGE = (0.8, 2.0)
"""Width of the ramp from paper to ink, in pixels of the image."""
INK = (0.65, 1.0)
NOISE = 0.12

DRAWS = 10 + 2 * NODES**2
"""Numbers that a drawing takes, apart from its paper."""
_CHUNK = 64


def uniforms(seed: int, stream: str, index: NDArray[np.int64], count: int) -> NDArray[np.float32]:
    """Numbers in [0, 1) that depend on (seed, stream, index) alone: float32 [n, count]."""
    words = stream_bits(seed, stream, index, (count + 1) // 2).view(np.uint32)
    return ((words[:, :count] >> np.uint32(8)) * np.float32(2**-24)).astype(np.float32)


def drawings(
    characters: Sequence[Character], size: int, per_character: int, seed: int
) -> Iterator[tuple[Character, NDArray[np.uint8]]]:
    """Draw every character: white ink on black paper.

    A drawing takes its font at random from those that have the character. Its numbers depend on the
    seed, the code point and the number of the drawing alone: a smaller set is part of a larger one.

    Yields:
        character, uint8 [per_character, size, size].
    """
    for start in range(0, len(characters), _CHUNK):
        chunk = characters[start : start + _CHUNK]
        outlines, first = _outlines(chunk)
        codes = np.array([character.code for character in chunk], dtype=np.int64)
        index = (codes[:, None] * 2**20 + np.arange(per_character)).reshape(-1)
        fonts = np.repeat([len(character.fonts) for character in chunk], per_character)
        random = uniforms(seed, "glyph drawings", index, DRAWS)
        chosen = np.repeat(first, per_character) + (random[:, 0] * fonts).astype(np.int64)
        paper = uniforms(seed, "glyph paper", index, size * size).reshape(-1, size, size)
        drawn = draw(outlines[torch.from_numpy(chosen)], torch.from_numpy(random), torch.from_numpy(paper))
        yield from zip(chunk, drawn.view(len(chunk), per_character, size, size).numpy(), strict=True)


def _outlines(chunk: Sequence[Character]) -> tuple[Tensor, NDArray[np.int64]]:
    """Distance fields of all fonts of all characters, and the row at which each character starts."""
    counts = np.array([len(character.fonts) for character in chunk])
    first = np.cumsum(counts) - counts
    rasters = np.zeros((int(counts.sum()), RASTER, RASTER), dtype=np.uint8)
    rows: dict[str, list[tuple[int, int]]] = {}
    for start, character in zip(first.tolist(), chunk, strict=True):
        for place, font in enumerate(character.fonts):
            rows.setdefault(font, []).append((start + place, character.code))
    for font, places in rows.items():
        rasters[[row for row, _ in places]] = rasterise([code for _, code in places], font)
    return distance_fields(rasters), first


def draw(outlines: Tensor, random: Tensor, paper: Tensor) -> Tensor:
    """Draw distance fields with numbers in [0, 1) as parameters.

    Args:
        outlines: float32 [n, RASTER, RASTER], signed distances in raster pixels.
        random: float32 [n, DRAWS]; the first number chose the font.
        paper: float32 [n, size, size], noise.

    Returns:
        uint8 [n, size, size].
    """
    count, size = paper.shape[:2]
    angle = (2 * random[:, 1] - 1) * ROTATION
    shear = (2 * random[:, 2] - 1) * SHEAR
    scale = SCALE[0] + random[:, 3:5] * (SCALE[1] - SCALE[0])
    # From places in the image back to places in the raster, so the scale divides.
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(-1, 2, 2)
    slant = torch.eye(2).repeat(count, 1, 1)
    slant[:, 0, 1] = shear
    shift = (2 * random[:, 5:7] - 1) * SHIFT
    affine = torch.cat([slant @ turn / scale[:, :, None], shift[:, :, None]], 2)
    grid = functional.affine_grid(affine, [count, 1, size, size], align_corners=False)
    nodes = (2 * random[:, 10:].view(-1, 2, NODES, NODES) - 1) * BEND
    bend = functional.interpolate(nodes, (size, size), mode="bicubic", align_corners=True)
    distance = functional.grid_sample(
        outlines[:, None], grid + bend.permute(0, 2, 3, 1), padding_mode="border", align_corners=False
    )[:, 0]

    stroke = STROKE[0] + random[:, 7] * (STROKE[1] - STROKE[0])
    pixel = RASTER / size
    edge = EDGE[0] + random[:, 8] * (EDGE[1] - EDGE[0])
    covered = (0.5 + (distance + stroke[:, None, None]) / (edge * pixel)[:, None, None]).clamp_(0, 1)
    ink = INK[0] + random[:, 9] * (INK[1] - INK[0])
    shade = covered * ink[:, None, None] + (2 * paper - 1) * NOISE
    return (shade.clamp_(0, 1) * 255).round_().to(torch.uint8)
