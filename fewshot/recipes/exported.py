"""A model as it is given to others: a JSON card and safetensors, in a folder, without pickles."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fewshot.recipes.tensor_card import load_card, load_tensors, required, save_card, save_tensors

CARD, WEIGHTS = "model.json", "model.safetensors"
KIND = "fewshot model"
_TRAIN_MEAN = "train_mean"
_TOLD = ("architecture", "trained_on", "selection", "classes", "reading", "terms", "step")


def write_exported(folder: Path, content: Mapping[str, Any], told: Mapping[str, Any]) -> None:
    """Write card and weights into a folder that exists.

    Args:
        folder: of the model.
        content: as `fewshot.recipes.model.saved_model` gives it.
        told: what else the card says.

    Raises:
        InputError: the files cannot be written.
    """
    tensors: dict[str, Tensor] = dict(content["embedder"])
    if content.get("train_mean") is not None:
        tensors[_TRAIN_MEAN] = content["train_mean"]
    sha256 = save_tensors(folder / WEIGHTS, tensors)
    # A checkpoint of the first version does not say all of it.
    said = {key: content[key] for key in _TOLD if key in content}
    save_card(folder / CARD, KIND, {**told, **said, "weights": WEIGHTS, "sha256": sha256})


def read_exported(card: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a model that was exported: the content of its checkpoint.

    Args:
        card: the JSON file; the weights lie beside it.
        device: where the tensors go.

    Raises:
        InputError: a file is missing or damaged, does not belong to the other, or is of another version.
    """
    content = load_card(card, KIND)
    required(content, card, sha256=str)
    tensors = load_tensors(card.with_name(WEIGHTS), content["sha256"], device)
    saved = {key: content[key] for key in _TOLD if key in content}
    train_mean = tensors.pop(_TRAIN_MEAN, None)
    return {**saved, "embedder": tensors, "train_mean": train_mean}
