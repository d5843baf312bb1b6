"""Embedders as checkpoints hold them: built from config, saved with all that using them needs."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fewshot.config import instantiate
from fewshot.data.image_folders import printable
from fewshot.data.image_set import ImageSet
from fewshot.data.reading import Reading
from fewshot.data.source import Source
from fewshot.errors import InputError
from fewshot.evaluation.embeddings import embed
from fewshot.models.backbone import Backbone
from fewshot.models.embedder import Embedder
from fewshot.models.heads import Head
from fewshot.models.weights import check_fit, load_weights
from fewshot.progress import Progress
from fewshot.recipes.exported import CARD, read_exported
from fewshot.recipes.tensor_card import required
from fewshot.sampling.class_table import ClassTable
from fewshot.targets import resolve_target
from fewshot.training import checkpoint
from fewshot.training.device import Machine

_MOST_ORIGINS = 100
"""Trainings that started from one another."""


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

    @classmethod
    def of(cls, saved: Mapping[str, Any], place: str) -> Architecture:
        """The architecture that a checkpoint or card holds.

        Raises:
            InputError: it is not one of this version.
        """
        try:
            made = cls(**saved)
            fits = isinstance(made.backbone, dict) and isinstance(made.head, dict)
            fits = fits and type(made.size) is int and type(made.channels) is int and made.size > 0
            means, stds = tuple(map(float, made.mean)), tuple(map(float, made.std))
        except (TypeError, ValueError) as problem:
            raise InputError(f"{place}: its architecture is not one of this version: {problem}") from problem
        if not fits or not len(means) == len(stds) == made.channels:
            raise InputError(f"{place}: its architecture is not one of this version, or damaged")
        return replace(made, mean=means, std=stds)

    def build(self) -> Embedder:
        """The embedder with fresh weights, or those its backbone node loads."""
        _check_modules(self.backbone, Backbone, "backbone")
        backbone = instantiate(
            self.backbone, place="backbone", offered={"in_channels": self.channels, "size": self.size}
        )
        if not isinstance(backbone, Backbone):
            raise InputError(f"backbone._target_={self.backbone['_target_']}: makes no backbone")
        return Embedder(
            backbone,
            self._head,
            mean=self.mean,
            std=self.std,
            size=self.size,
            channels=self.channels,
        )

    def _head(self, features: int) -> Head:
        _check_modules(self.head, Head, "head")
        head = instantiate(self.head, place="head", in_features=features)
        if not isinstance(head, Head):
            raise InputError(f"head._target_={self.head['_target_']}: makes no head")
        return head


def _check_modules(node: Any, kind: type[nn.Module], place: str) -> None:
    """That a part of a model, which may be a stranger's, names modules alone, before any is built.

    Raises:
        InputError: it is to be of another class than `kind`, or a part of it is no module.
    """
    if isinstance(node, dict):
        target = node.get("_target_")
        if isinstance(target, str):
            named = resolve_target(target, place)
            if inspect.isclass(named) and not issubclass(named, kind):
                raise InputError(f"{place}._target_={target}: makes no {kind.__name__.lower()}")
        for key, value in node.items():
            _check_modules(value, nn.Module, f"{place}.{key}")
    elif isinstance(node, list):
        for number, value in enumerate(node):
            _check_modules(value, nn.Module, f"{place}.{number}")


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
        reading: how files become what it was trained on; None of a checkpoint that does not say.
        terms: on which the owner of its training images gives them; None as for `reading`.
    """

    embedder: Embedder
    architecture: Architecture
    trained_on: dict[str, Any]
    selection: str
    classes: tuple[str, ...] | None
    train_mean: Tensor | None
    step: int
    reading: Reading | None
    terms: str | None


def card(
    architecture: Architecture,
    trained_on: dict[str, Any],
    selection: str,
    classes: Sequence[str],
    train_mean: Tensor | None = None,
    *,
    source: Source | None = None,
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
        "reading": None if source is None else dict(vars(Reading.of(source))),
        "terms": None if source is None else source.terms,
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
    """Where the model is that a run's folder, or an exported one, holds; `run` itself if it is a file.

    Raises:
        InputError: there is none.
    """
    if not run.exists():
        raise InputError(f"there is no run or checkpoint {run}")
    if not run.is_dir():
        beside = run.with_name(CARD)
        return beside if run.suffix == ".safetensors" and beside.is_file() else run
    for name in ("best.pt", CARD):
        if (run / name).exists():
            return run / name
    raise InputError(
        f"{run} holds no best.pt (it is no run, or was stopped before its first validation) and no {CARD}"
    )


def saved_model(path: Path, device: torch.device | str) -> dict[str, Any]:
    """What a checkpoint, or an exported model, holds: `card`, `embedder` (the weights) and `step`.

    Args:
        path: as `model_file` gives it.
        device: where the tensors go.

    Raises:
        InputError: damaged, or no model.
    """
    content = read_exported(path, device) if path.suffix == ".json" else checkpoint.load(path, device)
    if "embedder" not in content or "architecture" not in content:
        raise InputError(f"{path} holds the state of a training, not a model; give its folder or best.pt")
    _check_told(content, path)
    return content


def _check_told(content: Mapping[str, Any], path: Path) -> None:
    """Refuse what its readers could not use.

    Raises:
        InputError: an entry is missing or of another type.
    """
    origin: object = content.get("trained_on")
    required(content, path, trained_on=dict, architecture=dict, step=int, embedder=Mapping)
    for key, wanted in (("selection", str), ("classes", list), ("reading", dict), ("terms", str)):
        if content.get(key) is not None:
            required(content, path, **{key: wanted})
    if not all(isinstance(name, str) for name in content.get("classes") or ()):
        raise InputError(f"{path} is damaged: its classes are no names")
    told = [content.get("selection") or "", content.get("terms") or "", *(content.get("classes") or ())]
    for _ in range(_MOST_ORIGINS):
        if isinstance(origin, str):
            told.append(origin)
            break
        assert isinstance(origin, dict)
        told += required(origin, path, data=str, images=str, split=str)
        origin = origin.get("before")
        if not isinstance(origin, str | dict):
            raise InputError(f"{path} is damaged: 'before' is not there or no str")
    else:
        raise InputError(f"{path} is damaged: its weights have more than {_MOST_ORIGINS} origins")
    if any(printable(text) != text for text in told):
        raise InputError(f"{path} is damaged: it says what a terminal would obey")
    mean = content.get("train_mean")
    tensors = [*content["embedder"].values(), *([] if mean is None else [mean])]
    if not all(isinstance(tensor, Tensor) for tensor in tensors) or (mean is not None and mean.ndim != 1):
        raise InputError(f"{path} is damaged: its weights are no tensors of their shape")


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
    content = saved_model(path, device)
    architecture = Architecture.of(content["architecture"], str(path))
    load_nothing(architecture.backbone)
    # First without memory: a few bytes can name a network of any size, and are to have its weights.
    with torch.device("meta"), contextlib.suppress(RuntimeError):  # a foreign network may not bear it
        check_fit(architecture.build(), content["embedder"], place=str(path))
    embedder = architecture.build().to(device)
    load_weights(embedder, content["embedder"], place=str(path))
    embedder.eval()
    # Checkpoints of the first version say neither what chose them nor which classes they learnt.
    selection = content.get("selection", "not recorded what they were chosen on")
    classes = None if content.get("classes") is None else tuple(content["classes"])
    return Model(
        embedder,
        architecture,
        content["trained_on"],
        selection,
        classes,
        content.get("train_mean"),
        content["step"],
        _reading(content, path),
        content.get("terms"),
    )


def _reading(content: Mapping[str, Any], path: Path) -> Reading | None:
    saved = content.get("reading")
    try:
        return None if saved is None else Reading(**saved).checked()
    except (TypeError, InputError) as problem:
        raise InputError(f"{path}: what it says of reading images is damaged: {problem}") from problem


def start_from(embedder: Embedder, path: Path, device: torch.device) -> dict[str, Any]:
    """Give `embedder` the backbone of a checkpoint (`init=`), and return what that was trained on.

    Raises:
        InputError: as `load_model`, or the backbones differ.
    """
    content = saved_model(path, device)
    prefix = "backbone."
    weights = {
        name.removeprefix(prefix): value
        for name, value in content["embedder"].items()
        if name.startswith(prefix)
    }
    load_weights(embedder.backbone, weights, place=f"the weights of init={path}")
    trained_on: dict[str, Any] = content["trained_on"]
    return trained_on
