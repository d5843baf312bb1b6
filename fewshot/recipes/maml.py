"""MAML and ANIL: train on base classes, choose by adapting to episodes of validation classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig

from fewshot.config import instantiate
from fewshot.errors import InputError
from fewshot.models.embedder import Embedder
from fewshot.recipes.adapted_episodes import adapted_curve
from fewshot.recipes.training_data import TrainingData
from fewshot.recipes.training_run import Recipe, run_training
from fewshot.sampling.testbed import draw_testbed
from fewshot.training.device import Machine


def train(config: DictConfig) -> Path:
    """Train by MAML or ANIL; arguments, files and errors as in `run_training`.

    Raises:
        InputError: also other ways than those tested, BatchNorm frozen, or compiled where the gradient goes
            through a gradient.
    """
    if config.compile and not config.maml.first_order:
        raise InputError(
            "compile=true: torch compiles no gradient of a gradient; leave it out or add "
            "maml.first_order=true"
        )
    if config.sampler.ways != config.ways:
        raise InputError(
            f"sampler.ways={config.sampler.ways} ways={config.ways}: recipe=maml adapts a classifier of as "
            "many ways as it is tested with; leave sampler.ways out"
        )
    if config.training.freeze_batchnorm:
        raise InputError(
            "training.freeze_batchnorm=true: recipe=maml normalises by the images of each episode; leave "
            "it out"
        )
    return run_training(config, RECIPE)


class AdaptedValidation:
    """Accuracy after adaptation, on fixed episodes of the validation classes.

    Args:
        data: of the run, with validation classes.
        config: of the run: the task, the number of episodes and the inner loop.
        machine: what to compute on.
    """

    def __init__(self, data: TrainingData, config: DictConfig, machine: Machine) -> None:
        assert data.validation is not None
        self.image_set = data.image_set
        self.machine = machine
        # Nothing is differentiated through the steps of a validation.
        self.adaptation = replace(instantiate(config.maml), first_order=True)
        self.testbed = draw_testbed(
            data.validation,
            "val",
            ways=config.ways,
            shots=config.shots,
            queries=config.queries,
            episodes=config.validation.episodes,
            seed=config.seed,
        )

    def __call__(self, embedder: Embedder) -> dict[str, float]:
        shots = self.testbed.shots
        curve = adapted_curve(embedder, self.image_set, self.testbed, self.adaptation, [shots], self.machine)
        interval = curve[shots].interval
        return {"accuracy": interval.mean, "interval": interval.half_width}


RECIPE = Recipe(
    name="maml",
    protocol="few_shot",
    monitor="accuracy",
    measure=lambda config: f"{config.ways}-way {config.shots}-shot, adapted",
    validation=AdaptedValidation,
    evaluation=lambda config: f"evaluation=maml ways={config.ways} shots={config.shots}",
)
