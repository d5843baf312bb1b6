"""The embedder of a run and its optimizer, from the config."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from omegaconf import DictConfig
from torch import nn
from torch.optim import Optimizer

from fewshot.config import instantiate, plain
from fewshot.data.source import Source
from fewshot.errors import InputError
from fewshot.models.embedder import Embedder
from fewshot.randomness import stream_key
from fewshot.recipes.leakage import identity
from fewshot.recipes.model import Architecture, model_file, start_from
from fewshot.training.device import Machine
from fewshot.training.parameter_groups import parameter_groups


class Network(NamedTuple):
    """A new embedder.

    Attributes:
        embedder: on the CPU.
        architecture: how it was built.
        trained_on: what a checkpoint says of its data, and of the weights it started from.
    """

    embedder: Embedder
    architecture: Architecture
    trained_on: dict[str, Any]


def new_network(config: DictConfig, source: Source) -> Network:
    """The embedder of backbone, head and `init`; the weights depend on the seed alone.

    Torch's generator is left where they left it: what is built next depends on the seed, too.

    Raises:
        InputError: parts that do not fit, or an `init` that is no model.
    """
    torch.manual_seed(stream_key(config.seed, "weights") >> 1)
    architecture = Architecture(
        plain(config.backbone),
        plain(config.head),
        source.mean,
        source.std,
        source.size,
        source.channels,
    )
    embedder = architecture.build()
    trained_on: dict[str, Any] = {**identity(source), "before": embedder.backbone.weights_origin}
    if config.init is not None:
        trained_on["before"] = start_from(embedder, model_file(Path(config.init)), torch.device("cpu"))
    return Network(embedder, architecture, trained_on)


def optimizer_for(config: DictConfig, objective: nn.Module, machine: Machine) -> Optimizer:
    """The optimizer of the config's node, with groups of their own for proxies and the like.

    Raises:
        InputError: the node has no learning rate, or an option that does not exist.
    """
    # Fused on CUDA: one kernel a step, and the guard can skip a step without waiting for the device.
    fused = {"fused": True} if machine.device.type == "cuda" else {}
    if config.optimizer.get("lr") is None:
        raise InputError("optimizer.lr: needs a number; proxies learn at a multiple of it")
    groups = parameter_groups(objective, config.optimizer.lr)
    optimizer: Optimizer = instantiate(config.optimizer, offered=fused, params=groups)
    return optimizer
