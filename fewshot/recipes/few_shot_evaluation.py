"""Few-shot classification of unseen classes: thousands of episodes on embeddings made once."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from fewshot.config import instantiate, plain
from fewshot.data.source import Source
from fewshot.evaluation.accuracy import FewShotAccuracy, shot_curve
from fewshot.evaluation.classifiers.cl2n import CL2N
from fewshot.evaluation.classifiers.classifier import Classifier
from fewshot.evaluation.general_accuracy import GeneralAccuracy, evaluate_general
from fewshot.evaluation.intervals import mean_interval
from fewshot.evaluation.result_files import SUMMARY, save_general_result, save_result
from fewshot.progress import Progress
from fewshot.recipes.calibrated import Calibration, asked_for, calibrations, validation_testbed
from fewshot.recipes.model import Model
from fewshot.recipes.subject import Subject
from fewshot.recipes.testbeds import kind_name, shots_of, testbed_for, told
from fewshot.sampling.general_episodes import OUTSIDE
from fewshot.sampling.general_testbed import GeneralTestbed
from fewshot.sampling.testbed import Testbed

UNEVEN = "assumes as many queries of each class, which these episodes do not have"


@dataclass(frozen=True)
class FewShotEvaluation:
    """Accuracy on a testbed, as `ways`, `shots`, `queries`, `episodes`, `episode` and `classifier` say."""

    def __call__(self, config: DictConfig) -> Path:
        """Evaluate, print the summary and save the result.

        Returns:
            the path of result.json; episodes.npz lies beside it.

        Raises:
            InputError: anything the user can mend.
        """
        began = time.monotonic()
        shots = shots_of(config)
        calibrated = asked_for(config)
        subject = Subject.open(config, "few_shot")
        image_set, processes = subject.image_set, subject.machine.processes
        testbed = testbed_for(config, subject.source, image_set, config.part, classes=subject.classes)
        fitting = validation_testbed(config, subject) if calibrated else None
        classifier = with_mean(instantiate(config.classifier), subject.model)
        embeddings = subject.embed(np.unique(testbed.images), config.part)
        embedded = time.monotonic()
        curve: Mapping[int, FewShotAccuracy | GeneralAccuracy]
        with Progress(f"classifying with {config.choices.classifier}", len(testbed), "episodes") as progress:
            if isinstance(testbed, Testbed):
                balanced = curve = shot_curve(
                    embeddings, testbed, classifier, shots, processes=processes, progress=progress.advance
                )
            else:
                general = evaluate_general(
                    embeddings,
                    testbed.episodes,
                    classifier,
                    processes=processes,
                    progress=progress.advance,
                )
                curve = {shots[0]: general}
        found: Mapping[int, Calibration] = {}
        if fitting is not None:
            found = calibrations(subject, classifier, shots, fitting, testbed, embeddings)
        ended = time.monotonic()

        uneven = assumes_balance(classifier) and not evenly_asked(testbed)
        details: dict[str, Any] = {
            **subject.details(),
            "classifier": str(config.choices.classifier),
            "transductive": classifier.transductive,
            **({"assumption": f"{config.choices.classifier} {UNEVEN}"} if uneven else {}),
            **({"calibration": {str(n): made.details() for n, made in found.items()}} if found else {}),
            "seconds": {"embedding": embedded - began, "episodes": ended - embedded},
        }
        name = result_name(config, subject.source, shots, str(config.choices.classifier))
        folder = subject.path.parent / "eval" / name
        if not processes.first:
            return folder / SUMMARY
        if isinstance(testbed, Testbed):
            saved = save_result(folder, balanced, testbed, image_set.class_names, details)
        else:
            kind = str(kind_name(config))
            saved = save_general_result(folder, general, testbed, kind, image_set.class_names, details)

        print_accuracy(subject, testbed, curve, config.choices.classifier, classifier.transductive, found)
        if uneven:
            print(f"note       {config.choices.classifier} {UNEVEN}")
        spent = f"{embedded - began:.1f} s to load and embed, {ended - embedded:.1f} s for the episodes"
        print(f"time       {spent}")
        print(f"saved      {saved}")
        return saved


def assumes_balance(classifier: Classifier) -> bool:
    """Whether a classifier, or the one it prepares embeddings for, assumes as many queries of each class."""
    inner = getattr(classifier, "classifier", None)
    return bool(getattr(classifier, "assumes_balance", False)) or (
        inner is not None and assumes_balance(inner)
    )


def evenly_asked(testbed: Testbed | GeneralTestbed) -> bool:
    """Whether every class of an episode has as many queries, and no query is of another class."""
    if isinstance(testbed, Testbed):
        return True
    labels, ways = testbed.episodes.query_labels, testbed.episodes.ways
    counts = np.stack([(labels == way).sum(axis=1) for way in range(int(ways.max()))], axis=1)
    there = np.arange(counts.shape[1]) < ways[:, None]
    return bool((labels != OUTSIDE).all() and (counts == np.where(there, counts[:, :1], counts)).all())


def print_accuracy(
    subject: Subject,
    testbed: Testbed | GeneralTestbed,
    curve: Mapping[int, FewShotAccuracy | GeneralAccuracy],
    classifier: str,
    transductive: bool,
    found: Mapping[int, Calibration] | None = None,
) -> None:
    """The summary of an evaluation on episodes: its subject, testbed and classifier, and the accuracies.

    Args:
        curve: by shots, ascending.
        found: what fitting a temperature found for each of these.
    """
    print(subject.heading())
    print(
        f"testbed    {told(testbed)}, {len(testbed):,} episodes, seed {testbed.seed}, "
        f"sha256 {testbed.sha256[:12]}"
    )
    together = " (transductive: the queries of an episode are seen together)"
    print(f"classifier {classifier}{together if transductive else ''}")
    for count, accuracy in curve.items():
        interval = accuracy.interval
        percent = f"{100 * interval.mean:.2f} +- {100 * interval.half_width:.2f} %"
        # Of general episodes the line on the testbed says how many shots there are.
        title = f"{count}-shot" if isinstance(testbed, Testbed) else "accuracy"
        print(f"{title:<10} {percent}  (95% over episodes)")
        _print_rejection(accuracy)
        if found and count in found:
            _print_calibration(found[count], testbed.split)
    names, most = subject.image_set.class_names, max(curve)
    per_class = sorted((share, number) for number, share in curve[most].per_class().items())
    hardest, easiest = (f"{100 * share:.1f} % {names[n]}" for share, n in (per_class[0], per_class[-1]))
    of = f", {most}-shot" if isinstance(testbed, Testbed) else ""
    print(f"classes    {hardest} (hardest) to {easiest}{of}; all in the file")


def _print_rejection(result: FewShotAccuracy | GeneralAccuracy) -> None:
    if isinstance(result, GeneralAccuracy) and result.auroc:
        by = ", ".join(f"{mean_interval(areas)} by {name}" for name, areas in result.auroc.items())
        print(f"rejection  AUROC {by}  (x 100)")


def _print_calibration(made: Calibration, part: str) -> None:
    before, after = made.evaluated
    print(
        f"softmax    temperature {made.temperature:.4g}, fitted on {made.episodes:,} validation episodes; "
        f"NLL {before.nll:.4f} -> {after.nll:.4f}, ECE {100 * before.ece:.2f} -> {100 * after.ece:.2f} % on "
        f"{made.measured:,} {part} episodes"
    )


def with_mean(classifier: Classifier, model: Model) -> Classifier:
    """CL2N with the model's own training mean; any other classifier as it is."""
    return replace(classifier, mean=model.train_mean) if isinstance(classifier, CL2N) else classifier


def result_name(config: DictConfig, source: Source, shots: list[int], classifier: str) -> str:
    """Folder of a result: the same settings give the same name, and the same result."""
    kind = kind_name(config)
    options = plain(config.episode) if kind is not None else {}
    chosen = "".join(f"-{key}{value}" for key, value in options.items() if key != "_target_")
    parts = [
        f"{source.name}-{source.split}-{config.part}",
        *([f"{kind}{chosen}"] if kind is not None else []),
        f"{config.ways}w{'-'.join(map(str, shots))}s{config.queries}q",
        classifier,
        f"{config.episodes}e",
        f"seed{config.seed}",
    ]
    return re.sub(r"[^\w.=-]+", "-", "_".join(parts))
