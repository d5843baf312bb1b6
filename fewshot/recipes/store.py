"""A prototype store: what a support is to a model, kept in a folder without the images."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import Tensor

from fewshot.data.image_folders import printable
from fewshot.data.reading import Reading
from fewshot.errors import InputError
from fewshot.evaluation.embedding_cache import weights_sha256
from fewshot.recipes.encoder import Encoder
from fewshot.recipes.support import Support
from fewshot.recipes.tensor_card import load_card, load_tensors, required, save_card, save_tensors
from fewshot.whole_file import whole_folder

CARD = "store.json"
KIND = "fewshot prototype store"
_TENSORS = re.compile(r"tensors-[0-9a-f]{8}\.safetensors")


def model_sha256(encoder: Encoder) -> str:
    """Of what makes embeddings of pixels: the weights, and what of the network has none."""
    embedder = encoder.embedder
    told = [weights_sha256(embedder), embedder.extra_repr(), embedder.head.extra_repr()]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class Store:
    """Class names with sums and counts of their vectors, and the embeddings unless they were left out.

    Attributes:
        told: plain values of the card: `model` (its name, sha256 and where it was), `reading`, `settings`
            (the classifier and what was given), `fitted` (temperature, threshold and its rule).
        classes: names.
        counts: support images of each class.
        sums: float32 [ways, dim], of the vectors that the classifier averages (of CL2N transformed ones).
        features: float32 [n, dim], the embeddings; None if the store keeps prototypes alone.
        labels: int64 [n], numbers of classes; empty without the embeddings.
        names: [n], of the images, CLASS/FILE.
        digests: [n], sums of their pixels.
        sha256: of the file of tensors.
    """

    told: dict[str, Any]
    classes: tuple[str, ...]
    counts: tuple[int, ...]
    sums: Tensor
    features: Tensor | None
    labels: Tensor
    names: tuple[str, ...]
    digests: tuple[str, ...]
    sha256: str = ""

    def write(self, folder: Path) -> None:
        """Put the store into a new folder, or in place of the store that is there, whole or not at all.

        Raises:
            InputError: it cannot be written.
        """
        try:
            if (folder / CARD).is_file():
                self._write(folder)
            else:
                with whole_folder(folder) as made:
                    self._write(made)
        except OSError as error:
            raise InputError(f"cannot write {folder}: {error.strerror or error}") from error

    def _write(self, folder: Path) -> None:
        before = {path for path in folder.iterdir() if _TENSORS.fullmatch(path.name)}
        tensors = {"sums": self.sums, "labels": self.labels}
        if self.features is not None:
            tensors["features"] = self.features
        # Under a name of its own, so that the card that is there stays true until the new one replaces it.
        draft = folder / "tensors.new"
        sha256 = save_tensors(draft, tensors)
        path = draft.rename(folder / f"tensors-{sha256[:8]}.safetensors")
        told = {**self.told, "classes": self.classes, "counts": self.counts, "tensors": path.name}
        images = {"names": self.names, "digests": self.digests}
        save_card(folder / CARD, KIND, {**told, "sha256": sha256, **images})
        for old in before - {path}:
            old.unlink()

    @classmethod
    def read(cls, folder: Path, key: str = "store") -> Store:
        """Read a store.

        Raises:
            InputError: the folder holds none, or one that is damaged or of another version.
        """
        path = folder / CARD
        if not path.is_file():
            raise InputError(f"{key}={folder} holds no {CARD}; python -m fewshot store make makes one")
        told = load_card(path, KIND)
        classes, counts, names, digests, tensors, sha256, *_ = required(
            told,
            path,
            classes=list,
            counts=list,
            names=list,
            digests=list,
            tensors=str,
            sha256=str,
            model=dict,
            reading=dict,
            settings=dict,
            fitted=dict,
        )
        required(told["model"], path, name=str, sha256=str)
        required(told["settings"], path, classifier=str, false_alarms=float)
        required(told["fitted"], path, temperature=float, rule=str)
        if not _TENSORS.fullmatch(tensors):
            raise InputError(f"{path} is damaged: {tensors!r} is no name of its tensors")
        held = load_tensors(folder / tensors, sha256)
        features, labels, sums = held.get("features"), held.get("labels"), held.get("sums")
        if (
            sums is None
            or labels is None
            or not _fit(classes, counts, names, digests, sums, features, labels)
            or not all(_inside(name) for name in names)
        ):
            raise InputError(f"{path} is damaged: its classes, images and tensors do not fit each other")
        images = (tuple(names), tuple(digests))
        return cls(told, tuple(classes), tuple(counts), sums, features, labels, *images, sha256)

    def require(self, encoder: Encoder, place: str) -> None:
        """Refuse a model, or a way to read images, that would make other embeddings.

        Raises:
            InputError: it would.
        """
        model = self.told["model"]
        if model_sha256(encoder) != model["sha256"]:
            raise InputError(
                f"{place} was made with another model than {encoder.name}: with {model['name']}; "
                "name that one"
            )
        try:
            reading = Reading(**self.told["reading"]).checked()
        except (TypeError, InputError) as error:
            raise InputError(f"{place} is damaged: {error}") from error
        if reading != encoder.reading:
            raise InputError(
                f"{place} was made of images read otherwise: {reading}, here {encoder.reading}; "
                "give the same size and invert"
            )

    def support(self, folder: Path, device: torch.device) -> Support:
        """What a prediction takes for its labelled images; their files would lie below `folder`."""
        features = self.sums[:0] if self.features is None else self.features
        return Support(
            folder,
            tuple(folder / name for name in self.names),
            self.classes,
            self.labels.to(device),
            features.to(device),
            self.counts,
            {digest: row for row, digest in reversed(list(enumerate(self.digests)))},
            (),
            self.sha256,
        )


def _fit(
    classes: list[Any],
    counts: list[Any],
    names: list[Any],
    digests: list[Any],
    sums: Tensor,
    features: Tensor | None,
    labels: Tensor,
) -> bool:
    texts = [*classes, *names, *digests]
    if not classes or not all(isinstance(text, str) for text in texts) or len(set(classes)) < len(classes):
        return False
    if any(printable(name) != name for name in classes):  # a terminal would obey it
        return False
    if len(counts) != len(classes) or not all(type(count) is int and count > 0 for count in counts):
        return False
    finite = sums.is_floating_point() and sums.ndim == 2 and len(sums) == len(classes)
    if not finite or not bool(torch.isfinite(sums).all()) or labels.dtype != torch.int64 or labels.ndim != 1:
        return False
    if features is None:
        return len(labels) == len(names) == len(digests) == 0
    if not len(labels) == len(names) == len(digests) == sum(counts) or int(labels.min()) < 0:
        return False
    if features.dtype != torch.float32 or features.shape != (len(labels), sums.shape[1]):
        return False
    return torch.bincount(labels).tolist() == counts and bool(torch.isfinite(features).all())


def _inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\0" not in name
