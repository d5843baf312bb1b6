"""Confidence against accuracy in the first episodes of a testbed."""

from __future__ import annotations

import numpy as np
import torch

from fewshot.evaluation.calibration import Reliability, reliability
from fewshot.evaluation.evaluated_images import EvaluatedImages
from fewshot.report.charts import reliability as reliability_chart
from fewshot.report.markup import Markup, paragraph, tag
from fewshot.report.section import LeftOut

EPISODES = 200


def calibration(images: EvaluatedImages | str) -> Markup:
    """A reliability diagram and its ECE; the probabilities are the softmax of the classifier's scores."""
    if isinstance(images, str):
        raise LeftOut(images)
    testbed, classifier = images.testbed, images.classifier
    if testbed is None or classifier is None:
        raise LeftOut("it needs the scores of a few-shot evaluation")
    known = np.isin(testbed.images[:EPISODES], images.embeddings.images).all(axis=(1, 2))
    chosen = np.flatnonzero(known)
    if not len(chosen):
        raise LeftOut("the embeddings of no whole episode are at hand")
    found = measured(images, chosen)
    title = f"Calibration, {testbed.ways}-way {testbed.shots}-shot: ECE {100 * found.ece:.2f} %"
    told = (
        f"{int(found.counts.sum()):,} queries of the first {len(chosen)} of {len(testbed):,} episodes. "
        "Confidence is the softmax of the classifier's scores as they are, without a fitted temperature. "
        "Bars below the dashed diagonal: too sure. "
        f"ECE (Guo et al. 2017) over {len(found.counts)} bins."
    )
    chart = reliability_chart(title, found.edges, found.accuracy, found.counts)
    return tag("div", chart, paragraph(told), class_="pair")


def measured(images: EvaluatedImages, episodes: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Reliability:
    """The reliability over all queries of these episodes, ten at a time."""
    testbed, classifier = images.testbed, images.classifier
    assert testbed is not None and classifier is not None
    features = images.embeddings.features
    confidences, right = [], []
    for start in range(0, len(episodes), 10):
        rows = images.embeddings.rows_of(testbed.images[episodes[start : start + 10]])
        table = features[torch.from_numpy(rows).to(features.device)]
        with torch.inference_mode():
            query = table[:, :, testbed.shots :].flatten(1, 2)
            scores = classifier.fit(table[:, :, : testbed.shots]).predict(query)
            confidence, predicted = scores.double().softmax(dim=-1).max(dim=-1)
        true = torch.arange(testbed.ways, device=features.device).repeat_interleave(testbed.queries)
        confidences.append(confidence.flatten().cpu().numpy())
        right.append((predicted == true).flatten().cpu().numpy())
    return reliability(np.concatenate(confidences).clip(0, 1), np.concatenate(right))
