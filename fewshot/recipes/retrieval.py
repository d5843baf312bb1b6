"""Retrieval: train on labelled batches of some classes, choose by the nearest images of others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig

from fewshot.errors import InputError
from fewshot.evaluation.embeddings import embed
from fewshot.evaluation.retrieval import retrieve
from fewshot.models.embedder import Embedder
from fewshot.recipes.training_data import TrainingData
from fewshot.recipes.training_run import Recipe, run_training
from fewshot.training.device import Machine


def train(config: DictConfig) -> Path:
    """Train for retrieval; arguments, files and errors as in `run_training`."""
    return run_training(config, RECIPE)


def refuse_senseless(labels: NDArray[np.int64], part: str) -> None:
    """Refuse classes whose Recall@1 is known before anything is embedded.

    Args:
        labels: [n], of the images.
        part: whose classes they are, for the message.

    Raises:
        InputError: there is one class, or no class has two images.
    """
    counts = np.unique(labels, return_counts=True)[1]
    if len(counts) < 2:
        raise InputError(f"retrieval among the images of one {part} class finds nothing else: it needs two")
    if counts.max() < 2:
        raise InputError(
            f"none of the {len(counts)} {part} classes has two images: no image has another one to find"
        )


class RecallValidation:
    """Recall@1 and MAP@R by cosine among all images of the validation classes, each queried once.

    Args:
        data: of the run, with validation classes.
        config: of the run.
        machine: what to embed on.

    Raises:
        InputError: there is nothing to tell apart among the validation classes, or nothing to find.
    """

    def __init__(self, data: TrainingData, config: DictConfig, machine: Machine) -> None:
        assert data.validation is not None
        self.image_set = data.image_set
        self.images = data.validation.all_images
        self.labels = data.image_set.labels.numpy()[self.images]
        self.machine = machine
        refuse_senseless(self.labels, "validation")

    def __call__(self, embedder: Embedder) -> dict[str, float]:
        machine = self.machine
        embeddings = embed(
            embedder,
            self.image_set,
            self.images,
            device=machine.device,
            precision=machine.precision,
            processes=machine.processes,
        )

        def measure() -> dict[str, float]:
            found = retrieve(embeddings, self.labels, recall_at=(1,)).intervals()
            recall = found["recall@1"]
            return {
                "recall_at_1": recall.mean,
                "interval": recall.half_width,
                "map_at_r": found["map_at_r"].mean,
            }

        return machine.processes.told_by_first(measure)


RECIPE = Recipe(
    name="retrieval",
    protocol="retrieval",
    monitor="recall_at_1",
    measure=lambda config: "Recall@1",
    validation=RecallValidation,
    evaluation=lambda config: "evaluation=retrieval",
)
