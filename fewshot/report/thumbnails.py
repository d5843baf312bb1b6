"""Small pictures within the page, as data URIs."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from fewshot.data.image_set import ImageSet
from fewshot.report.markup import Markup, tag

SIDE = 72
"""Pixels of the longer side at most."""


def thumbnail(image_set: ImageSet, image: int, told: str, caption: str = "", kind: str = "") -> Markup:
    """One image with a caption.

    Args:
        image_set: holds the pixels.
        image: its number there.
        told: for who cannot see it.
        caption: below it.
        kind: "query", "right", "wrong" or none; the caption says so too, since a colour is not enough.
    """
    source, side = data_uri(image_set, image)
    classes = " ".join(filter(None, ("thumb", kind, "small" if side <= SIDE // 2 else "")))
    picture = tag("img", src=source, alt=told, title=told, loading="lazy", width=side, height=side)
    return tag("figure", picture, *([tag("figcaption", caption)] if caption else []), class_=classes)


def group(caption: str, pictures: Sequence[Markup]) -> Markup:
    """Thumbnails under one caption."""
    return tag("figure", tag("div", *pictures, class_="row"), tag("figcaption", caption), class_="group")


def data_uri(image_set: ImageSet, image: int) -> tuple[str, int]:
    """An image as `data:`, PNG where it is small or grey, else JPEG; and its longer side in pixels."""
    pixels = image_set.gather(np.array([image], dtype=np.int64))[0].cpu().numpy()
    channels = len(pixels)
    array = pixels.transpose(1, 2, 0) if channels == 3 else pixels[0]
    picture = Image.fromarray(array)
    if max(picture.size) > SIDE:
        picture.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    if channels == 3 and max(picture.size) > SIDE // 2:
        picture.save(file, "JPEG", quality=82)
        kind = "jpeg"
    else:
        picture.save(file, "PNG", optimize=True)
        kind = "png"
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}", max(picture.size)
