"""Embedders as checkpoints hold them: built from config, saved with all that using them needs."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fewshot.config import instantiate
from fewshot.data.image_set import ImageSet
from fewshot.errors import InputError
from fewshot.evaluation.embeddings import embed
from fewshot.models.embedder import Embedder
from fewshot.models.weights import load_weights
from fewshot.progress import Progress
from fewshot.sampling.class_table import ClassTable
from fewshot.training import checkpoint
from fewshot.training.device import Machine


@dataclass(frozen=True)
class Architecture:
    """How to build an embedder; plain values, so that a checkpoint holds it.

    Attributes:
        backbone, head: nodes of the config.
        mean, std: of the training data, one number a channel, in units of [0, 1].
        size: side of the images in pixels.
        channels: of the images.
    """

    backbone: dict[str, Any]
    head: dict[str, Any]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: int
    channels: int

    def build(self) -> Embedder:
        """The embedder with fresh weights, or those its backbone node loads."""
        backbone = instantiate(
            self.backbone, place="backbone", offered={"in_channels": self.channels, "size": self.size}
        )
        return Embedder(
            backbone,
            lambda features: instantiate(self.head, place="head", in_features=features),
            mean=self.mean,
            std=self.std,
            size=self.size,
            channels=self.channels,
        )


@dataclass(frozen=True)
class Model:
    """A trained embedder and where it comes from.

    Attributes:
        embedder: in evaluation mode.
        architecture: how it was built.
        trained_on: name, split and key of its data; what "unseen classes" means for it.
        selection: one line on what chose the weights.
        classes: names of the classes that it was trained on; None of a checkpoint that does not say.
        train_mean: [dim], the mean embedding of the training images, for CL2N; None if not computed.
        step: after which the weights were taken.
    """

    embedder: Embedder
    architecture: Architecture
    trained_on: dict[str, Any]
    selection: str
    classes: tuple[str, ...] | None
    train_mean: Tensor | None
    step: int


def card(
    architecture: Architecture,
    trained_on: dict[str, Any],
    selection: str,
    classes: Sequence[str],
    train_mean: Tensor | None = None,
) -> dict[str, Any]:
    """What a model's checkpoint holds beside `embedder` (the weights) and `step`."""
    plain = asdict(architecture)
    plain["mean"], plain["std"] = list(architecture.mean), list(architecture.std)
    return {
        "architecture": plain,
        "trained_on": trained_on,
        "selection": selection,
        "classes": list(classes),
        "train_mean": train_mean,
    }


def add_train_mean(path: Path, base: ClassTable, image_set: ImageSet, machine: Machine) -> None:
    """Put the mean embedding of the training images into a model's checkpoint: CL2N needs it."""
    machine.processes.wait()  # the first one writes the file
    model = load_model(path, machine.device)
    with Progress("embedding train", len(base.all_images), "images") as progress:
        embeddings = embed(
            model.embedder,
            image_set,
            base.all_images,
            device=machine.device,
            precision=machine.precision,
            processes=machine.processes,
            progress=progress.advance,
        )
    if machine.processes.first:
        content = checkpoint.load(path)
        content["train_mean"] = embeddings.features.double().mean(0).float().cpu()
        checkpoint.save(path, content)


def model_file(run: Path) -> Path:
    """The checkpoint of the model in a run's folder; `run` itself if it is a file.

    Raises:
        InputError: there is none.
    """
    if not run.exists():
        raise InputError(f"there is no run or checkpoint {run}")
    path = run / "best.pt" if run.is_dir() else run
    if not path.exists():
        raise InputError(f"{run} holds no best.pt: it is no run, or was stopped before its first validation")
    return path


def load_nothing(backbone: MutableMapping[Any, Any]) -> None:
    """Change a backbone's node so that it loads, or downloads, no weights: a checkpoint has them all."""
    for key, nothing in (("pretrained", False), ("weights", None)):
        if key in backbone:
            backbone[key] = nothing


def load_model(path: Path, device: torch.device) -> Model:
    """Build and fill the embedder of a checkpoint.

    Raises:
        InputError: damaged, another kind of checkpoint, or weights that do not fit its architecture.
    """
    content = checkpoint.load(path, device)
    if "embedder" not in content or "architecture" not in content:
        raise InputError(f"{path} holds the state of a training, not a model; give its folder or best.pt")
    try:
        architecture = Architecture(**content["architecture"])
    except TypeError as problem:
        raise InputError(f"{path}: its architecture is not one of this version: {problem}") from problem
    load_nothing(architecture.backbone)
    embedder = architecture.build().to(device)
    load_weights(embedder, content["embedder"], place=str(path))
    embedder.eval()
    # Checkpoints of the first version say neither what chose them nor which classes they learnt.
    selection = content.get("selection", "not recorded what they were chosen on")
    classes = tuple(content["classes"]) if "classes" in content else None
    return Model(
        embedder,
        architecture,
        content["trained_on"],
        selection,
        classes,
        content["train_mean"],
        content["step"],
    )


def start_from(embedder: Embedder, path: Path, device: torch.device) -> dict[str, Any]:
    """Give `embedder` the backbone of a checkpoint (`init=`), and return what that was trained on.

    Raises:
        InputError: as `load_model`, or the backbones differ.
    """
    content = checkpoint.load(path, device)
    if "embedder" not in content:
        raise InputError(f"{path} holds the state of a training, not a model; give its folder or best.pt")
    prefix = "backbone."
    weights = {
        name.removeprefix(prefix): value
        for name, value in content["embedder"].items()
        if name.startswith(prefix)
    }
    load_weights(embedder.backbone, weights, place=f"the weights of init={path}")
    trained_on: dict[str, Any] = content["trained_on"]
    return trained_on
