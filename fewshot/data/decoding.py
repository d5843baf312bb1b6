"""From an encoded image to a square of bytes: one way for every source and for a user's own photos."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from fewshot.data.source import Record, Source
from fewshot.errors import InputError

MAX_PIXELS = 80_000_000
"""Larger images are refused: a small file can claim a size that fills the memory."""

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF")
"""Formats that Pillow decodes by itself; others (EPS, ...) would start programs."""

Image.init()
_KNOWN_FORMATS = tuple(name for name in _FORMATS if name in Image.OPEN)
"""Some builds of Pillow lack the last ones."""

_LONGEST = 100
"""Times the short side: what lies beyond is cut off first."""

_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, OverflowError, struct.error, zlib.error)


def decode(data: bytes, name: str, channels: int = 3) -> NDArray[np.uint8]:
    """Decode one image file.

    The rotation that a camera wrote into the file is applied; what is transparent becomes white;
    16-bit gray is divided by 257; colour becomes gray by ITU-R 601-2 luma. Of an animation the
    first frame is taken.

    Args:
        data: the whole file.
        name: for the error message.
        channels: 1 (gray) or 3 (RGB).

    Returns:
        uint8 [height, width, channels].

    Raises:
        InputError: not an image, truncated, or larger than `MAX_PIXELS`.
    """
    try:
        with Image.open(io.BytesIO(data), formats=_KNOWN_FORMATS) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise InputError(f"{name}: {opened.width} x {opened.height} pixels are too many; shrink it")
            image = _plain(ImageOps.exif_transpose(opened), name)
            pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    except Image.DecompressionBombError as error:
        raise InputError(f"{name}: the image claims too many pixels; shrink it or remove it") from error
    except _DAMAGE as error:
        reason = "is empty" if not data else f"cannot be decoded as an image ({_first_line(error)})"
        raise InputError(f"{name}: {reason}; replace or remove it") from error
    return pixels[:, :, None] if channels == 1 else pixels


def fit_square(
    pixels: NDArray[np.uint8], size: int, resize: int | None, fit: str, *, bicubic: bool = False
) -> NDArray[np.uint8]:
    """Bring an image to size x size, enlarging it where it is smaller.

    Pillow's filters average over the whole footprint of a pixel when they shrink (antialiasing).
    "cover" equals torchvision's Resize(resize) and CenterCrop(size) on a PIL image.

    Args:
        pixels: uint8 [height, width, channels], 1 or 3 channels.
        size: side of the result in pixels; an image of that size is returned as it is.
        resize: short side before the centre crop ("cover" only); None: `size`.
        fit: "cover" or "squash".
        bicubic: the filter, as foreign weights may want it; else bilinear, as everything is packed.

    Returns:
        uint8 [size, size, channels].
    """
    resample = Image.Resampling.BICUBIC if bicubic else Image.Resampling.BILINEAR
    height, width, channels = pixels.shape
    if (height, width) == (size, size):
        return pixels
    image = Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)
    if fit == "squash":
        image = image.resize((size, size), resample)
    else:
        short = resize or size
        if max(width, height) > _LONGEST * min(width, height):
            # A line of 1 x 80 million pixels would be enlarged as a whole for its middle.
            image, (width, height) = _middle(image, _LONGEST * min(width, height))
        if width <= height:
            new = (short, int(short * height / width))
        else:
            new = (int(short * width / height), short)
        left, top = round((new[0] - size) / 2), round((new[1] - size) / 2)
        image = image.resize(new, resample).crop((left, top, left + size, top + size))
    fitted = np.asarray(image)
    return fitted[:, :, None] if channels == 1 else fitted


def _middle(image: Image.Image, longest: int) -> tuple[Image.Image, tuple[int, int]]:
    """The image without the ends of its long side, and its width and height."""
    width, height = min(image.width, longest), min(image.height, longest)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height)), (width, height)


def square(record: Record, source: Source, folder: Path) -> NDArray[np.uint8]:
    """The pixels of one record from `folder` as they are packed: uint8 [channels, size, size].

    Raises:
        InputError: the image is damaged; the text names the folder and the record.
    """
    name = f"{folder}: {record.name}"
    if isinstance(record.image, bytes):
        pixels = decode(record.image, name, source.channels)
    else:
        pixels = _with_channels(record.image, name, source.channels)
    fitted = fit_square(pixels, source.size, source.resize, source.fit)
    return np.ascontiguousarray(fitted.transpose(2, 0, 1))


def _with_channels(pixels: NDArray[np.uint8], name: str, channels: int) -> NDArray[np.uint8]:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or pixels.size == 0:
        found = f"{pixels.dtype} {list(pixels.shape)}"
        raise InputError(f"{name}: expected uint8 pixels [height, width, 1 or 3], found {found}")
    if pixels.shape[2] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=2)
    return np.asarray(Image.fromarray(pixels).convert("L"))[:, :, None]


def _plain(image: Image.Image, name: str) -> Image.Image:
    """Reduce every mode to one whose conversion to gray or RGB loses nothing that is seen."""
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise InputError(f"{name}: pixel values outside 0..65535; convert the image to 8 bits")
        return Image.fromarray(((values + 128) // 257).astype(np.uint8))
    if image.mode == "F":
        raise InputError(f"{name}: floating-point pixels have no fixed white; convert the image to 8 bits")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image


def _first_line(error: Exception) -> str:
    text = str(error).splitlines()
    return "not in a known format" if not text or "cannot identify" in text[0] else text[0]
