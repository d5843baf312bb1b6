"""Few-shot classification of unseen classes: thousands of episodes on embeddings made once."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from fewshot.config import instantiate
from fewshot.data.source import Source
from fewshot.errors import InputError
from fewshot.evaluation.accuracy import FewShotAccuracy, shot_curve
from fewshot.evaluation.classifiers.cl2n import CL2N
from fewshot.evaluation.classifiers.classifier import Classifier
from fewshot.evaluation.result_files import SUMMARY, save_result
from fewshot.progress import Progress
from fewshot.recipes.model import Model
from fewshot.recipes.subject import Subject
from fewshot.sampling.class_table import ClassTable
from fewshot.sampling.testbed import Testbed, draw_testbed


@dataclass(frozen=True)
class FewShotEvaluation:
    """Accuracy on a testbed, as `ways`, `shots`, `queries`, `episodes` and `classifier` say."""

    def __call__(self, config: DictConfig) -> Path:
        """Evaluate, print the summary and save the result.

        Returns:
            the path of result.json; episodes.npz lies beside it.

        Raises:
            InputError: anything the user can mend.
        """
        began = time.monotonic()
        shots = shots_of(config)
        subject = Subject.open(config, "few_shot")
        testbed = testbed_of(config, subject, shots)
        classifier = with_mean(instantiate(config.classifier), subject.model)
        embeddings = subject.embed(np.unique(testbed.images), config.part)
        embedded = time.monotonic()
        with Progress(f"classifying with {config.choices.classifier}", len(testbed), "episodes") as progress:
            processes = subject.machine.processes
            curve = shot_curve(
                embeddings, testbed, classifier, shots, processes=processes, progress=progress.advance
            )
        ended = time.monotonic()

        details: dict[str, Any] = {
            **subject.details(),
            "classifier": str(config.choices.classifier),
            "transductive": classifier.transductive,
            "seconds": {"embedding": embedded - began, "episodes": ended - embedded},
        }
        name = result_name(config, subject.source, shots, str(config.choices.classifier))
        folder = subject.path.parent / "eval" / name
        if not processes.first:
            return folder / SUMMARY
        saved = save_result(folder, curve, testbed, subject.image_set.class_names, details)

        print_accuracy(subject, testbed, curve, config.choices.classifier, classifier.transductive)
        spent = f"{embedded - began:.1f} s to load and embed, {ended - embedded:.1f} s for the episodes"
        print(f"time       {spent}")
        print(f"saved      {saved}")
        return saved


def print_accuracy(
    subject: Subject, testbed: Testbed, curve: dict[int, FewShotAccuracy], classifier: str, transductive: bool
) -> None:
    """The summary of an evaluation on episodes: its subject, testbed and classifier, and the accuracies."""
    print(subject.heading())
    print(
        f"testbed    {testbed.ways}-way, {testbed.queries} queries a class, {len(testbed):,} episodes, "
        f"seed {testbed.seed}, sha256 {testbed.sha256[:12]}"
    )
    together = " (transductive: the queries of an episode are seen together)"
    print(f"classifier {classifier}{together if transductive else ''}")
    for count, accuracy in curve.items():
        interval = accuracy.interval
        percent = f"{100 * interval.mean:.2f} +- {100 * interval.half_width:.2f} %"
        print(f"{f'{count}-shot':<10} {percent}  (95% over episodes)")
    names, most = subject.image_set.class_names, max(curve)
    per_class = sorted((share, number) for number, share in curve[most].per_class().items())
    hardest, easiest = (f"{100 * share:.1f} % {names[n]}" for share, n in (per_class[0], per_class[-1]))
    print(f"classes    {hardest} (hardest) to {easiest}, {most}-shot; all in the file")


def shots_of(config: DictConfig) -> list[int]:
    """The points of the shot curve, ascending.

    Raises:
        InputError: none, or one below 1.
    """
    shots = sorted({config.shots} if isinstance(config.shots, int) else set(config.shots))
    if not shots or shots[0] < 1:
        raise InputError(f"shots={config.shots} must be a number from 1 on, or a list of such")
    return shots


def testbed_of(config: DictConfig, subject: Subject, shots: list[int]) -> Testbed:
    """The episodes that an evaluation's config means; of equal configs they are the same for every method."""
    return draw_testbed(
        ClassTable.of(subject.image_set, subject.classes),
        config.part,
        ways=config.ways,
        shots=max(shots),
        queries=config.queries,
        episodes=config.episodes,
        seed=config.seed,
    )


def with_mean(classifier: Classifier, model: Model) -> Classifier:
    """CL2N with the model's own training mean; any other classifier as it is."""
    return replace(classifier, mean=model.train_mean) if isinstance(classifier, CL2N) else classifier


def result_name(config: DictConfig, source: Source, shots: list[int], classifier: str) -> str:
    """Folder of a result: the same settings give the same name, and the same result."""
    parts = [
        f"{source.name}-{source.split}-{config.part}",
        f"{config.ways}w{'-'.join(map(str, shots))}s{config.queries}q",
        classifier,
        f"{config.episodes}e",
        f"seed{config.seed}",
    ]
    return re.sub(r"[^\w.=-]+", "-", "_".join(parts))
