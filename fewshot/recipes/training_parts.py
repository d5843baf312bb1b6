"""The parts of one training run, of any recipe, built from its config."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from omegaconf import DictConfig
from torch import Tensor
from torch.optim import Optimizer

from fewshot.config import instantiate
from fewshot.data.augmentation import Augmentation
from fewshot.errors import InputError
from fewshot.models.adaptation import Frozen
from fewshot.models.embedder import Embedder
from fewshot.objectives.episodic import Episodic
from fewshot.objectives.maml import MAML
from fewshot.objectives.mixed import Mixed
from fewshot.objectives.mixed_episodic import MixedEpisodic
from fewshot.objectives.plain import Plain
from fewshot.recipes.cached_features import CachedFeatures
from fewshot.recipes.network import Network, new_network, optimizer_for
from fewshot.recipes.objective import maml_objective, objective_for, require_shareable
from fewshot.recipes.schedule import schedule_for
from fewshot.recipes.training_data import TrainingData
from fewshot.sampling.episodes import EpisodeSampler
from fewshot.sampling.feed import EpisodeFeed, Gathered, PlainFeed, PlainSampler, feed_for
from fewshot.sampling.hard_classes import HardClasses
from fewshot.training.device import Machine
from fewshot.training.loop import LoopOptions
from fewshot.training.schedule import Schedule


@dataclass(frozen=True)
class TrainingParts:
    """What the loop is given.

    Attributes:
        network: the new embedder, and what a checkpoint says of it.
        objective: that embedder with its loss, on the machine's device.
        feed: of the base classes.
        optimizer, schedule, options: of the run.
    """

    network: Network
    objective: Episodic | Plain | Mixed | MixedEpisodic | MAML
    feed: EpisodeFeed | PlainFeed
    optimizer: Optimizer
    schedule: Schedule
    options: LoopOptions


def training_parts(config: DictConfig, data: TrainingData, machine: Machine) -> TrainingParts:
    """Build the parts of a run.

    Args:
        config: of the run.
        data: its classes and images.
        machine: what it computes on.

    Raises:
        InputError: parts that do not fit each other, the data or the machine.
    """
    base = data.base
    sampler = instantiate(config.sampler, table=base, seed=config.seed, stream="train")
    augment = instantiate(config.augment)
    network = new_network(config, data.source)
    adapt = None if (node := _chosen(config, "adapt")) is None else instantiate(node)
    if adapt is not None:
        adapt.apply(network.embedder)
    images: Gathered = data.image_set
    if _cached(config, adapt, sampler, augment):
        images = CachedFeatures(network.embedder, data.image_set, base.all_images, machine)
        augment = _as_they_are
    feed = feed_for(images, sampler, augment, machine.device, machine.processes)

    objective = _objective(config, network.embedder, sampler, len(base.classes)).to(machine.device)
    if not any(parameter.requires_grad for parameter in objective.parameters()):
        raise InputError(
            "adapt=frozen leaves nothing to train: head and loss have no parameters; use head=linear, or "
            "adapt=lora"
        )
    require_shareable(objective, sampler, machine.processes)

    optimizer = optimizer_for(config, objective, machine)
    if config.epochs is not None and config.epochs < 1:
        raise InputError(f"epochs={config.epochs} must be at least 1, or null")
    steps = config.steps if config.epochs is None else config.epochs * feed.steps_per_epoch
    schedule = schedule_for(config.scheduler, optimizer, steps, feed.steps_per_epoch)
    options = LoopOptions(
        steps=steps,
        seed=config.seed,
        validate_every=config.validation.every,
        patience=config.validation.patience,
        compile=config.compile,
        **config.training,
    )
    return TrainingParts(network, objective, feed, optimizer, schedule, options)


def _objective(
    config: DictConfig, embedder: Embedder, sampler: EpisodeSampler | PlainSampler, classes: int
) -> Episodic | Plain | Mixed | MixedEpisodic | MAML:
    """The embedder with what it is trained by.

    Args:
        classes: how many there are to train on.
    """
    if (maml := config.get("maml")) is not None:
        return maml_objective(embedder, instantiate(maml), sampler)
    offered = {"classes": classes, "dim": embedder.dim}
    loss = instantiate(config.loss, offered=offered)
    if (memory := _chosen(config, "memory")) is not None:
        loss = instantiate(memory, offered=offered, loss=loss)
    mixup = None if (node := _chosen(config, "mixup")) is None else instantiate(node)
    return objective_for(embedder, loss, sampler, mixup)


def _cached(config: DictConfig, adapt: object, sampler: object, augment: object) -> bool:
    """Whether a step sees of an image what any other step would see."""
    if not isinstance(adapt, Frozen) or not adapt.cache or isinstance(sampler, HardClasses):
        return False
    plain_images = isinstance(augment, Augmentation) and not any(True for _ in augment.children())
    return plain_images and _chosen(config, "mixup") is None


def _as_they_are(features: Tensor, generator: torch.Generator) -> Tensor:
    return features


def _chosen(config: DictConfig, group: str) -> DictConfig | None:
    """The node of a group; None where it names no part (a run of an older version has no such group).

    Raises:
        InputError: options of no part.
    """
    node = config.get(group)
    if node is None or "_target_" in node:
        return node
    if node:
        raise InputError(f"{group}.{next(iter(node))}: {group}=none has no options; choose {group}=NAME")
    return None
