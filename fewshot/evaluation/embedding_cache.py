"""Embeddings kept on disk under a key of everything they depend on."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fewshot.distributed import ALONE, Processes
from fewshot.evaluation.embeddings import Embeddings
from fewshot.whole_file import whole_file


def weights_sha256(module: nn.Module) -> str:
    """SHA-256 over the names, types, shapes and bytes of all parameters and buffers, in order of name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def embedding_key(
    embedder: nn.Module, manifest: Mapping[str, Any], indices: NDArray[np.int64], settings: Mapping[str, Any]
) -> str:
    """SHA-256 of everything that the embeddings depend on.

    Args:
        embedder: its weights, and its printed structure (two networks may share weights).
        manifest: of the image set; holds the sums of its arrays.
        indices: int64 [n], the images.
        settings: what else matters: size, transform, precision, device.
    """
    told = {
        "weights": weights_sha256(embedder),
        "structure": repr(embedder),
        "manifest": manifest,
        "indices": hashlib.sha256(np.ascontiguousarray(indices, dtype="<i8").tobytes()).hexdigest(),
        "settings": settings,
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True)
class EmbeddingCache:
    """A folder with one `KEY.npy` for each set of embeddings. It can be deleted at any time."""

    folder: Path

    def load_or_make(
        self,
        key: str,
        indices: NDArray[np.int64],
        device: torch.device | str,
        make: Callable[[], Embeddings],
        processes: Processes = ALONE,
    ) -> Embeddings:
        """The embeddings kept under `key`, else those that `make` makes, which are then kept.

        A cache that cannot be read or written costs time and nothing else: damaged files are made
        again, and a full or read-only disk leaves the cache as it was. Of several processes the first reads
        and writes; all make.
        """
        features = processes.told_by_first(lambda: self._load(key, len(indices)))
        if features is not None:
            return Embeddings(features.to(device), np.asarray(indices, dtype=np.int64))
        made = make()
        if processes.first:
            self._save(key, made.features)
        return made

    def load(self, key: str, indices: NDArray[np.int64], device: torch.device | str) -> Embeddings | None:
        """The embeddings kept under `key`; None if there are none, or they are damaged."""
        features = self._load(key, len(indices))
        if features is None:
            return None
        return Embeddings(features.to(device), np.asarray(indices, dtype=np.int64))

    def _load(self, key: str, rows: int) -> Tensor | None:
        try:
            array = np.load(self.folder / f"{key}.npy", allow_pickle=False)
        except Exception:  # a damaged array can raise anything
            return None
        fits = array.dtype == np.float32 and array.ndim == 2 and len(array) == rows
        return torch.from_numpy(array) if fits else None

    def _save(self, key: str, features: Tensor) -> None:
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            with whole_file(self.folder / f"{key}.npy") as file:
                np.save(file, features.cpu().numpy(), allow_pickle=False)
