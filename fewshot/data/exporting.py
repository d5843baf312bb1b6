"""Some images of a packed set as files in class folders, as people have their own."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fewshot.data.catalogue import open_image_set
from fewshot.data.source import Source
from fewshot.errors import InputError
from fewshot.randomness import stream_bits


def export_images(source: Source, folder: Path, *, classes: int, shots: int, queries: int, seed: int) -> str:
    """Write PNG files `folder/support/CLASS/000.png` and `folder/query/CLASS/005.png` of test classes.

    Drawings are written as dark ink on white paper.

    Args:
        source: packed now if it is not; nothing is downloaded.
        folder: made; must not hold anything.
        classes: how many of the test classes, drawn by `seed`.
        shots, queries: images of each in support and query, the first ones.
        seed: of the draw.

    Returns:
        One line on what was written.

    Raises:
        InputError: too few classes or images, or the folder holds something or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"to={folder} is there and not empty; name a new folder")
    image_set = open_image_set(source, residency="memmap")
    labels = image_set.class_indices(source.class_split(image_set.class_names).part("test"))
    table = image_set.images_of_class
    labels = labels[table.counts[labels] >= shots + queries]
    if len(labels) < classes:
        raise InputError(
            f"data={source.name} has {len(labels)} test classes of {shots + queries} images, not {classes}; "
            "lower classes, shots or queries"
        )
    outside = [name for name in image_set.class_names if not _stays_below(name)]
    if outside:  # a class is called what a stranger's file calls it
        raise InputError(
            f"data={source.name} has class {outside[0]!r}, which would be written outside {folder}"
        )
    chosen = labels[np.argsort(stream_bits(seed, "export", labels, 1)[:, 0], kind="stable")[:classes]]
    try:
        for label in sorted(chosen.tolist()):
            rows = table.rows[label, : shots + queries]
            for number, pixels in enumerate(image_set.gather(rows).numpy()):
                part = "support" if number < shots else "query"
                path = folder / part / image_set.class_names[label] / f"{number:03d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                _image(pixels, source.ink).save(path)
    except OSError as error:
        raise InputError(f"to={folder}: cannot be written ({error.strerror or error})") from error
    return (
        f"{classes} test classes of {source.name} with {shots} images each in {folder / 'support'}, "
        f"{classes * queries} images in {folder / 'query'}"
    )


def _stays_below(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def _image(pixels: NDArray[np.uint8], ink: bool) -> Image.Image:
    pixels = 255 - pixels if ink else pixels
    return Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
