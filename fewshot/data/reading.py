"""Image files as a model wants their pixels, read and decoded in threads, in order."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fewshot.data.decoding import decode, fit_square
from fewshot.data.image_folders import printable
from fewshot.data.source import FITS, Source
from fewshot.errors import InputError

_INVERT = ("never", "light", "always")
_CHUNK = 16
"""Images that a thread decodes in one go."""


class Decoded(NamedTuple):
    """One file: its pixels uint8 [channels, size, size] and their sum, or why there are none."""

    pixels: NDArray[np.uint8] | None
    digest: str
    problem: str


@dataclass(frozen=True)
class Reading:
    """From a file to a square of bytes, in the way in which a model's training images were packed.

    Attributes:
        size, channels, resize, fit, bicubic: see `fit_square`.
        invert: of drawings: "light" turns images with a light border (ink on white paper) into light ink on
            black, as such data sets are packed; "always" and "never" do not look.
    """

    size: int
    channels: int = 3
    resize: int | None = None
    fit: str = "cover"
    bicubic: bool = False
    invert: Literal["never", "light", "always"] = "never"

    @classmethod
    def of(cls, source: Source) -> Reading:
        """As a data set is packed."""
        invert: Literal["never", "light"] = "light" if source.ink else "never"
        return cls(source.size, source.channels, source.resize, source.fit, invert=invert)

    def checked(self) -> Reading:
        """Itself, of values that came from a file.

        Raises:
            InputError: they are of other types, or none that an image can be read by.
        """
        whole = [self.size, self.channels, *([] if self.resize is None else [self.resize])]
        fits = all(type(value) is int and value > 0 for value in whole) and type(self.bicubic) is bool
        if not fits or self.channels not in (1, 3) or self.fit not in FITS or self.invert not in _INVERT:
            raise InputError(f"{self} is no way to read images")
        return self

    def pixels(self, data: bytes, name: str) -> NDArray[np.uint8]:
        """The pixels uint8 [channels, size, size] of an encoded file.

        Raises:
            InputError: it is damaged or no image; the text begins with `name`.
        """
        fitted = fit_square(
            decode(data, name, self.channels), self.size, self.resize, self.fit, bicubic=self.bicubic
        )
        if self.invert == "always" or (self.invert == "light" and _light_border(fitted)):
            fitted = 255 - fitted
        return np.ascontiguousarray(fitted.transpose(2, 0, 1))

    def read(self, path: Path) -> Decoded:
        """One file; whatever is wrong with it is said, not raised."""
        name = printable(str(path))
        try:
            pixels = self.pixels(path.read_bytes(), name)
        except OSError as error:
            return Decoded(None, "", f"{name}: cannot be read ({error.strerror})")
        except InputError as error:
            return Decoded(None, "", str(error))
        return Decoded(pixels, hashlib.blake2b(pixels.data, digest_size=16).hexdigest(), "")

    def batches(self, paths: Sequence[Path], batch: int) -> Iterator[list[Decoded]]:
        """The files in order, `batch` at once; a few batches are held, however many there are."""
        workers = min(16, os.cpu_count() or 1)
        chunks = (list(paths[start : start + _CHUNK]) for start in range(0, len(paths), _CHUNK))
        running: deque[Future[list[Decoded]]] = deque()
        ready: list[Decoded] = []
        with ThreadPoolExecutor(workers) as pool:  # Pillow lets go of the interpreter lock
            try:
                ahead = 2 * workers + batch // _CHUNK
                running.extend(pool.submit(self._read_all, chunk) for chunk in islice(chunks, ahead))
                while running:
                    ready += running.popleft().result()
                    running.extend(pool.submit(self._read_all, chunk) for chunk in islice(chunks, 1))
                    while len(ready) >= batch or (ready and not running):
                        yield ready[:batch]
                        del ready[:batch]
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _read_all(self, chunk: list[Path]) -> list[Decoded]:
        return [self.read(path) for path in chunk]


def _light_border(pixels: NDArray[np.uint8]) -> bool:
    """Whether the border of an image [size, size, channels] is lighter than the middle of the range."""
    border = (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1])
    return bool(np.median(np.concatenate(border)) > 127)
