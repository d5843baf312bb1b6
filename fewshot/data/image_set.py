"""A packed set of labelled images, held where training wants it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fewshot.data import pack_format
from fewshot.data.source import RESIDENCIES
from fewshot.errors import InputError


class ImagesOfClass(NamedTuple):
    """Which images each class has, as one padded table."""

    rows: NDArray[np.int64]
    """[classes, largest class]: row numbers in ascending order, then -1."""
    counts: NDArray[np.int64]
    """[classes]: how many of a row's entries are images."""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images uint8 [n, channels, height, width] with a label each; all classes, in no split.

    Raises:
        ValueError: the tensors do not have these shapes and types, or a label names no class.
    """

    images: Tensor
    """uint8 [n, channels, height, width], in memory, memory-mapped, or on the device."""
    labels: Tensor
    """int64 [n] on the CPU: index into `class_names`."""
    class_names: tuple[str, ...]
    manifest: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    """Where it is packed; None for a set made in memory."""

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            found = f"{self.images.dtype} {list(self.images.shape)}"
            raise ValueError(f"images must be uint8 [n, channels, height, width], not {found}")
        if self.labels.dtype != torch.int64 or self.labels.shape != self.images.shape[:1]:
            found = f"{self.labels.dtype} {list(self.labels.shape)}"
            raise ValueError(f"labels must be int64 [{len(self.images)}], not {found}")
        if self.labels.device.type != "cpu":
            raise ValueError(f"labels must be on the CPU, not on {self.labels.device}")
        classes = len(self.class_names)
        if len(self.labels) and not 0 <= int(self.labels.min()) <= int(self.labels.max()) < classes:
            raise ValueError(f"labels must lie in 0..{classes - 1}, since there are {classes} classes")

    @classmethod
    def open(cls, folder: Path, residency: str = "ram", device: torch.device | str = "cpu") -> ImageSet:
        """Open a packed set.

        Args:
            folder: made by `packing.pack`.
            residency: memmap (read from disk when gathered), ram, or device.
            device: where the pixels go if residency is "device".

        Raises:
            InputError: the pack is missing, truncated, of another version, or larger than the memory.
        """
        if residency not in RESIDENCIES:
            raise ValueError(f"residency must be one of {RESIDENCIES}, not {residency!r}")
        manifest = pack_format.read_manifest(folder)
        try:
            # Copy-on-write, because torch warns of arrays that it must not write; nothing writes.
            mapped = np.load(folder / pack_format.IMAGES, mmap_mode="c", allow_pickle=False)
            labels = torch.from_numpy(np.load(folder / pack_format.LABELS, allow_pickle=False))
            images = torch.from_numpy(mapped)
            if residency == "ram":
                images = images.clone()
            elif residency == "device":
                images = images.to(device, copy=True)
            return cls(images, labels, tuple(manifest["classes"]), manifest, folder)
        except (MemoryError, RuntimeError) as error:
            size = f"{manifest['bytes'][pack_format.IMAGES] / 1e9:.1f} GB of pixels"
            reason = str(error).splitlines()[0] if str(error) else "out of memory"
            raise InputError(
                f"{folder}: {size} do not fit into {residency} ({reason}); use data.residency=memmap"
            ) from error
        except Exception as error:  # a damaged array can raise anything
            raise InputError(
                f"{folder}: damaged ({error}); delete the folder and prepare it again"
            ) from error

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def device(self) -> torch.device:
        """Where the pixels are, and where `gather` returns them."""
        return self.images.device

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The name of each image, as its source calls it; row numbers for a set made in memory."""
        if self.folder is None:
            return tuple(str(row) for row in range(len(self)))
        return tuple((self.folder / pack_format.NAMES).read_text(encoding="utf-8").split("\n")[: len(self)])

    @cached_property
    def images_of_class(self) -> ImagesOfClass:
        """The rows of every class."""
        labels = self.labels.numpy()
        counts = np.bincount(labels, minlength=len(self.class_names)).astype(np.int64)
        rows = np.full((len(counts), int(counts.max(initial=0))), -1, dtype=np.int64)
        rows[np.arange(rows.shape[1]) < counts[:, None]] = np.argsort(labels, kind="stable")
        return ImagesOfClass(rows, counts)

    def class_indices(self, names: Iterable[str]) -> NDArray[np.int64]:
        """The labels of the named classes, in the order given.

        Raises:
            InputError: the set has no class of that name.
        """
        index = {name: label for label, name in enumerate(self.class_names)}
        wanted = list(names)
        absent = [name for name in wanted if name not in index]
        if absent:
            title = self.manifest.get("key", "this image set")
            raise InputError(
                f"{title} has no class {absent[0]!r} ({len(absent)} of {len(wanted)} are absent)"
            )
        return np.array([index[name] for name in wanted], dtype=np.int64)

    def gather(self, indices: Tensor | NDArray[np.int64]) -> Tensor:
        """The images at `indices` int64 [...]: uint8 [..., channels, height, width], on `device`.

        Raises:
            IndexError: an index is outside 0..n-1 (on an accelerator: an assertion of the device).
        """
        if isinstance(indices, np.ndarray):
            indices = torch.from_numpy(np.ascontiguousarray(indices))
        flat = indices.to(self.device, non_blocking=True).reshape(-1)
        return self.images.index_select(0, flat).reshape(*indices.shape, *self.images.shape[1:])
