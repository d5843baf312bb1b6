"""A temperature fitted on validation episodes, and what it does for the evaluated ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig

from fewshot.errors import InputError
from fewshot.evaluation.classifiers.classifier import Classifier
from fewshot.evaluation.embeddings import Embeddings
from fewshot.evaluation.scored_episodes import parts_of_one_shape, score
from fewshot.evaluation.temperature import Confidence, Group, confidence, fitted_temperature
from fewshot.recipes.subject import Subject
from fewshot.recipes.testbeds import in_general, testbed_for
from fewshot.sampling.general_episodes import GeneralEpisodes
from fewshot.sampling.general_testbed import GeneralTestbed
from fewshot.sampling.testbed import Testbed

EPISODES = 1000
"""At most, to fit by and to measure on: tens of thousands of queries, for one number."""


@dataclass(frozen=True)
class Calibration:
    """A temperature, and NLL and ECE without and with it.

    Attributes:
        temperature: of softmax(scores / temperature).
        episodes: validation episodes that it was fitted by.
        validation: NLL and ECE on these, at temperature 1 and at the fitted one.
        measured: first evaluated episodes, of which `evaluated` is.
        evaluated: as `validation`.
    """

    temperature: float
    episodes: int
    validation: tuple[Confidence, Confidence]
    measured: int
    evaluated: tuple[Confidence, Confidence]

    def details(self) -> dict[str, Any]:
        """As result.json has it."""
        return asdict(self)


def asked_for(config: DictConfig) -> bool:
    """Whether a temperature is to be fitted.

    Raises:
        InputError: `temperature` is neither null nor fit, or it would be fitted on what is evaluated.
    """
    if config.get("temperature") is None:
        return False
    if config.temperature != "fit":
        raise InputError(f"temperature={config.temperature} must be fit, or null for none")
    if config.part == "val":
        raise InputError(
            "temperature=fit: it is fitted on the validation classes, so part=val can't measure it"
        )
    return True


def validation_testbed(config: DictConfig, subject: Subject) -> Testbed | GeneralTestbed:
    """The episodes that temperatures are fitted on: of the validation classes, of the evaluated kind.

    Raises:
        InputError: the validation classes do not suffice for such episodes.
    """
    return testbed_for(
        config, subject.source, subject.image_set, "val", episodes=min(config.episodes, EPISODES)
    )


def calibrations(
    subject: Subject,
    classifier: Classifier,
    shots: Sequence[int],
    fitting: Testbed | GeneralTestbed,
    testbed: Testbed | GeneralTestbed,
    embeddings: Embeddings,
) -> dict[int, Calibration]:
    """For each number of shots a temperature fitted on validation episodes.

    Args:
        subject: of the evaluation.
        classifier: whose scores these are.
        shots: of the evaluation.
        fitting: as `validation_testbed` gives it.
        testbed, embeddings: evaluated; nothing of them is read before the temperature is fixed.
    """
    images = np.unique(fitting.images)
    known = subject.embed(images, "val")
    found = {}
    for count in shots:
        groups = closed_set_scores(known, in_general(fitting, count), classifier)
        temperature = fitted_temperature(groups)
        fitted = confidence(groups, 1.0), confidence(groups, temperature)
        some = in_general(testbed, count).first(EPISODES)
        groups = closed_set_scores(embeddings, some, classifier)
        evaluated = confidence(groups, 1.0), confidence(groups, temperature)
        found[count] = Calibration(temperature, len(fitting), fitted, len(some.query), evaluated)
    return found


def closed_set_scores(
    embeddings: Embeddings, episodes: GeneralEpisodes, classifier: Classifier
) -> list[Group]:
    """Scores and labels of all queries of classes in the support, those with as many ways together."""
    by_ways: dict[int, list[Group]] = {}
    for found in score(
        embeddings, episodes, classifier, parts_of_one_shape(embeddings, episodes, classifier)
    ):
        known = found.labels >= 0
        by_ways.setdefault(found.scores.shape[-1], []).append((found.scores[known], found.labels[known]))
    return [
        (torch.cat([s for s, _ in several]), torch.cat([y for _, y in several]))
        for several in by_ways.values()
    ]
