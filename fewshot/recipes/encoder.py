"""What turns image files into embeddings: a trained model, or a foreign one with its own transform."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig
from torch import Tensor

from fewshot.config import instantiate, plain
from fewshot.data.reading import Reading
from fewshot.errors import InputError
from fewshot.evaluation.embeddings import embed
from fewshot.models.backbone import Backbone, output_shape
from fewshot.models.embedder import Embedder
from fewshot.models.heads import NoHead
from fewshot.recipes.model import Model, load_model, model_file
from fewshot.recipes.run_record import CONFIG, load_config, newest_run
from fewshot.recipes.subject import source_for
from fewshot.training.device import Machine

_INK = ("glyphs", "omniglot")
"""Data sets of drawings, for a checkpoint that lies in no run."""


@dataclass(frozen=True)
class Encoder:
    """A network and how it wants its pixels.

    Attributes:
        embedder: on the machine's device, in evaluation mode.
        reading: of the files.
        train_mean: [dim], for CL2N; None of foreign weights.
        name: the model in one line.
        machine: what to embed on.
        path: of the model; None of foreign weights.
    """

    embedder: Embedder
    reading: Reading
    train_mean: Tensor | None
    name: str
    machine: Machine
    path: Path | None = None

    @classmethod
    def open(cls, config: DictConfig, machine: Machine) -> Encoder:
        """The model that `conf/predict.yaml` names.

        Raises:
            InputError: anything the user can mend.
        """
        named = [key for key in ("run", "model") if config.get(key) is not None]
        if config.backbone is not None and named:
            key = named[0]
            raise InputError(
                f"{key}={config[key]}: a run brings its own backbone; leave {key} or backbone out"
            )
        if len(named) > 1:
            raise InputError(f"run={config.run} and model={config.model}: two models; leave one of them out")
        make = cls._of_run if config.backbone is None else cls._foreign
        encoder = make(config, machine)
        reading = encoder.reading
        if config.invert is not None:
            reading = replace(reading, invert="always" if config.invert else "never")
        if config.size is not None:
            reading = _resized(encoder.embedder, reading, config.size)
        return replace(encoder, reading=reading)

    @classmethod
    def _of_run(cls, config: DictConfig, machine: Machine) -> Encoder:
        run = config.get("model") or config.run
        run = run or newest_run(Path(config.output_dir), "few_shot", "retrieval")
        path = model_file(Path(os.path.expanduser(run)))
        model = load_model(path, machine.device)
        trained = f"trained on {model.trained_on['data']} ({model.trained_on['split']})"
        name = f"{path}, step {model.step}, {trained}"
        return cls(model.embedder, reading_of(model, path), model.train_mean, name, machine, path)

    @classmethod
    def _foreign(cls, config: DictConfig, machine: Machine) -> Encoder:
        node = plain(config.backbone)
        choice = config.choices.backbone
        if "weights" not in node:
            raise InputError(
                f"backbone={choice} comes without weights: train it and give run=RUN, or choose "
                "backbone=timm or backbone=torchvision"
            )
        # Random weights label nothing.
        node["pretrained"] = node["weights"] is None
        backbone: Backbone = instantiate(node, place="backbone", offered={"in_channels": 3})
        told = backbone.preprocessing
        if told is None or backbone.normalisation is None:
            raise InputError(f"backbone={choice}: nothing says how its weights want their images")
        mean, std = backbone.normalisation
        embedder = Embedder(backbone, NoHead, mean=mean, std=std, size=told.size).to(machine.device).eval()
        reading = Reading(told.size, 3, told.resize, told.fit, told.bicubic)
        return cls(embedder, reading, None, f"{choice} {node['name']}, {backbone.weights_origin}", machine)

    def embed(self, pixels: Sequence[NDArray[np.uint8]]) -> Tensor:
        """Embeddings float32 [n, dim] of n images uint8 [channels, size, size]."""
        stacked = _Pixels(torch.from_numpy(np.stack(pixels)))
        return embed(
            self.embedder,
            stacked,
            np.arange(len(pixels)),
            batch_size=len(pixels),
            device=self.machine.device,
            precision=self.machine.precision,
        ).features

    def describe(self) -> dict[str, Any]:
        """For the result file: the network, the model's name and how files are read."""
        return {"model": self.name, **self.embedder.describe(), "reading": vars(self.reading)}


@dataclass(frozen=True, eq=False)
class _Pixels:
    pixels: Tensor

    def gather(self, indices: NDArray[np.int64]) -> Tensor:
        return self.pixels[torch.from_numpy(indices)]


def reading_of(model: Model, path: Path) -> Reading:
    """As the model says; one of a version that did not: as its run packed images, else by the usual crop."""
    if model.reading is not None:
        return model.reading
    architecture = model.architecture
    if (path.parent / CONFIG).is_file():
        return Reading.of(source_for(architecture, load_config(path.parent).data, "few_shot"))
    ink = model.trained_on.get("data") in _INK
    return Reading(architecture.size, architecture.channels, invert="light" if ink else "never")


def _resized(embedder: Embedder, reading: Reading, size: int) -> Reading:
    """The reading at another size.

    Raises:
        InputError: the model cannot take it.
    """
    backbone = embedder.backbone
    if size < 1:
        raise InputError(f"size={size} must be at least 1 pixel")
    if backbone.pool == "flatten" and size != embedder.size:
        raise InputError(
            f"size={size}: this model takes images of {embedder.size} px alone, since its features are "
            "flattened; leave size out"
        )
    try:
        output_shape(backbone, (2, embedder.channels, size, size))
    except (RuntimeError, AssertionError) as error:
        reason = (str(error).splitlines() or ["they vanish on the way"])[0]
        raise InputError(
            f"size={size}: this model cannot take such images ({reason}); leave size out"
        ) from error
    resize = None if reading.resize is None else max(size, round(reading.resize * size / reading.size))
    return replace(reading, size=size, resize=resize)
