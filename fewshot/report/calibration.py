"""Confidence against accuracy in the first episodes of a testbed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fewshot.evaluation.calibration import Reliability, reliability
from fewshot.evaluation.evaluated_images import EvaluatedImages
from fewshot.evaluation.scored_episodes import parts_of_one_shape, score
from fewshot.report.charts import reliability as reliability_chart
from fewshot.report.markup import Markup, paragraph, tag
from fewshot.report.run_files import Result
from fewshot.report.section import LeftOut
from fewshot.sampling.general_episodes import PADDING, GeneralEpisodes

EPISODES = 200


def calibration(result: Result | None, images: EvaluatedImages | str) -> Markup:
    """A reliability diagram and its ECE; the probabilities are the softmax of the classifier's scores.

    Where the evaluation fitted a temperature, the scores are divided by it.
    """
    if isinstance(images, str):
        raise LeftOut(images)
    episodes, classifier = images.episodes, images.classifier
    if episodes is None or classifier is None or result is None:
        raise LeftOut("it needs the scores of a few-shot evaluation")
    first = episodes.first(EPISODES)
    there = np.append(images.embeddings.images, PADDING)
    known = np.isin(first.support, there).all(axis=1) & np.isin(first.query, there).all(axis=1)
    chosen = np.flatnonzero(known)
    if not len(chosen):
        raise LeftOut("the embeddings of no whole episode are at hand")
    summary = result.summary
    fitted = (summary.get("calibration") or {}).get(str(summary["shots"]))
    temperature = 1.0 if fitted is None else float(fitted["temperature"])
    found = measured(images, chosen, temperature)
    task = str(summary.get("task") or f"{summary['ways']}-way {summary['shots']}-shot")
    title = f"Calibration, {task}: ECE {100 * found.ece:.2f} %"
    divided = (
        "as they are, without a fitted temperature"
        if fitted is None
        else f"divided by {temperature:.4g}, a temperature fitted on validation episodes"
    )
    total = len(episodes.query)
    told = (
        f"{int(found.counts.sum()):,} queries of the first {len(chosen)} of {total:,} episodes. "
        f"Confidence is the softmax of the classifier's scores, {divided}. "
        "Bars below the dashed diagonal: too sure. "
        f"ECE (Guo et al. 2017) over {len(found.counts)} bins."
    )
    chart = reliability_chart(title, found.edges, found.accuracy, found.counts)
    return tag("div", chart, paragraph(told), class_="pair")


def measured(images: EvaluatedImages, chosen: NDArray[np.int64], temperature: float = 1.0) -> Reliability:
    """The reliability over all queries of classes in the support of these episodes, ten at a time."""
    assert images.episodes is not None and images.classifier is not None
    some = GeneralEpisodes(*(array[chosen] for array in images.episodes))
    confidences, right = [], []
    parts = parts_of_one_shape(images.embeddings, some, images.classifier, block=10)
    for found in score(images.embeddings, some, images.classifier, parts):
        known = found.labels >= 0
        confidence, predicted = (found.scores[known].double() / temperature).softmax(dim=-1).max(dim=-1)
        confidences.append(confidence.cpu().numpy())
        right.append((predicted == found.labels[known]).cpu().numpy())
    return reliability(np.concatenate(confidences).clip(0, 1), np.concatenate(right))
