"""Few-shot classification: train on base classes, choose by episodes of validation classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig

from fewshot.config import instantiate
from fewshot.evaluation.accuracy import evaluate
from fewshot.evaluation.classifiers.cl2n import CL2N
from fewshot.evaluation.embeddings import Embeddings, embed
from fewshot.models.embedder import Embedder
from fewshot.recipes.training_data import TrainingData
from fewshot.recipes.training_run import Recipe, run_training
from fewshot.sampling.testbed import draw_testbed
from fewshot.training.device import Machine


def train(config: DictConfig) -> Path:
    """Train for few-shot classification; arguments, files and errors as in `run_training`."""
    return run_training(config, RECIPE)


class EpisodeValidation:
    """Few-shot accuracy on fixed episodes of the validation classes.

    Args:
        data: of the run, with validation classes.
        config: of the run: the task, the number of episodes and the classifier.
        machine: what to embed on.
    """

    def __init__(self, data: TrainingData, config: DictConfig, machine: Machine) -> None:
        assert data.validation is not None
        self.image_set = data.image_set
        self.machine = machine
        self.classifier = instantiate(config.classifier)
        # CL2N needs the mean of training embeddings, which changes as training goes on: a sample gives it.
        self.base_images = data.base.all_images[:: max(1, len(data.base.all_images) // 4000)]
        self.testbed = draw_testbed(
            data.validation,
            "val",
            ways=config.ways,
            shots=config.shots,
            queries=config.queries,
            episodes=config.validation.episodes,
            seed=config.seed,
        )
        self.images = np.unique(self.testbed.images)

    def __call__(self, embedder: Embedder) -> dict[str, float]:
        classifier = self.classifier
        if isinstance(classifier, CL2N):
            classifier = replace(classifier, mean=self._embed(embedder, self.base_images).features.mean(0))
        embeddings = self._embed(embedder, self.images)
        interval = evaluate(embeddings, self.testbed, classifier, processes=self.machine.processes).interval
        return {"accuracy": interval.mean, "interval": interval.half_width}

    def _embed(self, embedder: Embedder, images: NDArray[np.int64]) -> Embeddings:
        machine = self.machine
        return embed(
            embedder,
            self.image_set,
            images,
            device=machine.device,
            precision=machine.precision,
            processes=machine.processes,
        )


RECIPE = Recipe(
    name="few_shot",
    protocol="few_shot",
    monitor="accuracy",
    measure=lambda config: f"{config.ways}-way {config.shots}-shot",
    validation=EpisodeValidation,
    evaluation=lambda config: f"shots={config.shots}",
)
