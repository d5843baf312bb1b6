"""The support of a prediction: the labelled images, decoded and embedded."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import Tensor

from fewshot.data.image_folders import printable
from fewshot.data.labelling import Found
from fewshot.errors import InputError
from fewshot.progress import Progress
from fewshot.recipes.encoder import Encoder


@dataclass(frozen=True, eq=False)
class Support:
    """The labelled images.

    Attributes:
        root: of the class folders.
        paths: of the images that could be read.
        classes: names.
        labels: int64 [n], numbers of classes.
        features: float32 [n, dim].
        counts: images of each class; their rows are not all here where a store keeps prototypes alone.
        row_of: row of each image by the sum of its pixels.
        problems: what was left out, and images that are there twice; one line each.
    """

    root: Path
    paths: tuple[Path, ...]
    classes: tuple[str, ...]
    labels: Tensor
    features: Tensor
    counts: tuple[int, ...]
    row_of: dict[str, int]
    problems: tuple[str, ...]
    sha256: str = ""
    """Of the store that it comes from."""

    def name(self, row: int) -> str:
        """The path of an image below the folder."""
        return printable(self.paths[row].relative_to(self.root).as_posix())


def read_support(found: Found, encoder: Encoder, config: DictConfig) -> Support:
    """Decode and embed the labelled images.

    Raises:
        InputError: a class has no image that can be read; with `unreadable=error` any file that can't.
    """
    root = Path(os.path.expanduser(config.support))
    problems = [f"{printable(str(path))}: left out, no image in a class folder" for path in found.left_out]
    _refuse(problems, config)
    paths: list[Path] = []
    names: list[str] = []
    embedded: list[Tensor] = []
    row_of: dict[str, int] = {}
    todo = list(zip(found.paths, found.classes, strict=True))
    with Progress("embedding the support", len(todo), "images") as progress:
        for batch in encoder.reading.batches(found.paths, config.batch):
            files, todo = todo[: len(batch)], todo[len(batch) :]
            for (path, name), decoded in zip(files, batch, strict=True):
                if decoded.pixels is None:
                    problems.append(decoded.problem)
                    _refuse(problems, config)
                    continue
                first = row_of.setdefault(decoded.digest, len(paths))
                if first < len(paths):
                    other = "" if names[first] == name else ", which is another class"
                    same = printable(str(paths[first]))
                    problems.append(f"{printable(str(path))}: the same image as {same}{other}")
                paths.append(path)
                names.append(name)
            pixels = [decoded.pixels for decoded in batch if decoded.pixels is not None]
            if pixels:
                embedded.append(encoder.embed(pixels))
            progress.advance(len(batch))
    for name in dict.fromkeys(found.classes):
        if name not in names:
            raise InputError(f"support={config.support}: class {name!r} has no image that can be read")
    classes = tuple(dict.fromkeys(names))
    number = {name: i for i, name in enumerate(classes)}
    features = torch.cat(embedded)
    labels = torch.tensor([number[name] for name in names], device=features.device)
    counts = tuple(torch.bincount(labels, minlength=len(classes)).tolist())
    return Support(root, tuple(paths), classes, labels, features, counts, row_of, tuple(problems))


def _refuse(problems: list[str], config: DictConfig) -> None:
    if problems and config.unreadable == "error":
        raise InputError(f"{problems[-1]} (unreadable=skip leaves it out)")
