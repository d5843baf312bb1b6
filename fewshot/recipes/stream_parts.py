"""The stream and the method of a config: what training and evaluation of continual learning share."""

from __future__ import annotations

import sys
from typing import NamedTuple

from omegaconf import DictConfig, open_dict

from fewshot.config import instantiate, plain
from fewshot.continual.method import Method
from fewshot.continual.scenario import Scenario, class_incremental, domain_incremental
from fewshot.data.catalogue import open_image_set
from fewshot.data.image_folds import TEST, VALIDATION, image_folds
from fewshot.data.image_set import ImageSet
from fewshot.data.source import Source
from fewshot.errors import InputError
from fewshot.recipes.network import Network, new_network
from fewshot.sampling.episodes import EpisodeSampler
from fewshot.sampling.feed import Augment, PlainSampler
from fewshot.sampling.hard_classes import HardClasses
from fewshot.targets import resolve_target
from fewshot.training.device import Machine


class StreamParts(NamedTuple):
    """What a run of continual learning is made of.

    Attributes:
        source, image_set: the data set and its images.
        scenario: its tasks.
        network: the new embedder and how it was built.
        method: what learns, with that embedder, on the machine's device.
        augment: of the training images.
        evaluated: "test" or "validation", the images that are evaluated.
    """

    source: Source
    image_set: ImageSet
    scenario: Scenario
    network: Network
    method: Method
    augment: Augment
    evaluated: str


def stream_parts(config: DictConfig, machine: Machine) -> StreamParts:
    """Build them; `data.split` becomes what null stands for, so that the saved config names it.

    Raises:
        InputError: anything the user can mend.
    """
    if config.get("continual") is None or config.continual.get("_target_") is None:
        raise InputError("recipe=continual needs a method: choose continual=NAME")
    source: Source = instantiate(config.data, offered={"protocol": "continual"})
    with open_dict(config):
        config.data.split = source.split
    image_set = open_image_set(source, machine.device)
    validation = config.scenario.validation_share > 0
    scenario = scenario_of(config, source, image_set)
    _announce(scenario)
    network = new_network(config, source)
    # Every class of the image set may be among those learnt, whatever its split calls them.
    network.trained_on["split"] = f"continual, {len(scenario.class_names)} classes"
    offered = {"classes": len(scenario.class_names), "dim": network.embedder.dim}
    loss = instantiate(config.loss, offered=offered)
    augment: Augment = instantiate(config.augment)
    method: Method = instantiate(
        config.continual,
        offered={
            "embedder": network.embedder,
            "classes": len(scenario.class_names),
            "tasks": len(scenario.tasks),
            "loss": loss,
            "augment": augment,
        },
    )
    return StreamParts(
        source,
        image_set,
        scenario,
        network,
        method.to(machine.device),
        augment,
        "validation" if validation else "test",
    )


def scenario_of(config: DictConfig, source: Source, image_set: ImageSet) -> Scenario:
    """The tasks of `tasks`, `first_task`, `class_order` and `scenario.*`.

    Raises:
        InputError: they do not fit the images.
    """
    options = config.scenario
    folds = image_folds(
        image_set,
        source.test_images(image_set.names),
        test_share=options.test_share,
        validation_share=options.validation_share,
        seed=options.fold_seed,
    )
    evaluated = VALIDATION if options.validation_share else TEST
    if options.domains:
        for key, value, why in (
            ("first_task", config.first_task, "every task has all classes"),
            ("scenario.classes", options.classes, "every task has all classes"),
            ("scenario.shots", options.shots, "no class is new after the first task"),
        ):
            if value is not None:
                raise InputError(f"{key}={value}: with scenario.domains=true {why}; leave it out")
        scenario = domain_incremental(image_set, folds, evaluated, order=config.class_order, seed=config.seed)
    else:
        scenario = class_incremental(
            image_set,
            folds,
            evaluated,
            tasks=config.tasks,
            first_task=config.first_task,
            class_order=config.class_order,
            classes=options.classes,
            shots=options.shots,
            seed=config.seed,
        )
    return scenario


def samplers_for(config: DictConfig, scenario: Scenario, method: Method) -> list[PlainSampler]:
    """The sampler of each task; a task with fewer images than a batch is one batch.

    Raises:
        InputError: a sampler of episodes or one that looks at the network, or one that does not fit a task.
    """
    made: list[PlainSampler] = []
    node = plain(config.sampler)
    if (kind := resolve_target(node["_target_"], "sampler")) in (EpisodeSampler, HardClasses):
        raise InputError(
            f"sampler {kind.__name__}: tasks come in plain batches; use sampler=shuffled or "
            "sampler=classes_by_images"
        )
    for number in range(len(scenario.tasks)):
        table = scenario.training_table(range(number + 1) if method.cumulative else [number])
        options = dict(node)
        if isinstance(options.get("batch"), int):
            options["batch"] = min(options["batch"], int(table.counts.sum()))
        sampler = instantiate(
            options, place="sampler", table=table, seed=config.seed, stream=f"task {number + 1}"
        )
        made.append(sampler)
    return made


def steps_for(config: DictConfig, samplers: list[PlainSampler]) -> list[int]:
    """Steps of each task: `epochs` (else `steps`) a task, the first task `scenario.first_length`.

    Raises:
        InputError: a length below 1.
    """
    unit = "steps" if config.epochs is None else "epochs"
    length, first = config[unit], config.scenario.first_length
    for key, value in ((unit, length), ("scenario.first_length", first)):
        if value is not None and value < 1:
            raise InputError(f"{key}={value} must be at least 1")
    lengths = [length if first is None or number else first for number in range(len(samplers))]
    if unit == "steps":
        return lengths
    return [epochs * sampler.steps_per_epoch for epochs, sampler in zip(lengths, samplers, strict=True)]


def _announce(scenario: Scenario) -> None:
    """Say how the classes are divided."""
    counts = [len(task.classes) for task in scenario.tasks]
    each = f"{counts[0]}" if len(set(counts)) == 1 else ", ".join(map(str, counts))
    print(
        f"stream of {len(counts)} tasks of {each} classes: "
        f"{sum(len(task.train) for task in scenario.tasks):,} training images, "
        f"{sum(len(task.evaluated) for task in scenario.tasks):,} evaluated",
        file=sys.stderr,
    )
