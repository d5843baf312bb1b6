"""Accuracy on general episodes, and how well queries of unknown classes are rejected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fewshot.distributed import ALONE, Processes
from fewshot.evaluation.auroc import auroc
from fewshot.evaluation.classifiers.classifier import Classifier
from fewshot.evaluation.embeddings import Embeddings
from fewshot.evaluation.intervals import Interval, mean_interval
from fewshot.evaluation.scored_episodes import Scored, parts_of_one_shape, score
from fewshot.sampling.general_episodes import OUTSIDE, PADDING, GeneralEpisodes

REJECTION = ("probability", "score", "distance")
"""What a query is kept by: the highest softmax probability (Hendrycks & Gimpel 2017, arXiv 1610.02136); the
highest score (Vaze et al. 2022, arXiv 2110.06207), above the mean over the ways, since scores are known up to
a constant for each query; nearness to the nearest class mean."""


@dataclass(frozen=True, eq=False)
class GeneralAccuracy:
    """What one classifier did on every query of general episodes.

    Attributes:
        predictions: int16 [episodes, m], the label predicted for each query; PADDING where there is none.
        labels: int16 [episodes, m], the true ones, PADDING or OUTSIDE.
        classes: int64 [episodes, most ways], the class number behind each label; padded.
        auroc: float64 [episodes] for each of REJECTION, of known queries against those of classes outside the
            support; empty without any.
    """

    predictions: NDArray[np.int16]
    labels: NDArray[np.int16]
    classes: NDArray[np.int64]
    auroc: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def known(self) -> NDArray[np.bool_]:
        """[episodes, m], queries of classes in the support: all that accuracy is of."""
        known: NDArray[np.bool_] = self.labels >= 0
        return known

    @property
    def accuracies(self) -> NDArray[np.float64]:
        """[episodes], the share of an episode's known queries that were right."""
        right = (self.predictions == self.labels) & self.known
        shares: NDArray[np.float64] = right.sum(axis=1) / self.known.sum(axis=1)
        return shares

    @property
    def interval(self) -> Interval:
        """Mean accuracy and its 95% interval over episodes."""
        return mean_interval(self.accuracies)

    def per_class(self) -> dict[int, float]:
        """Accuracy over all queries of each class number that has any."""
        known = self.known
        episodes, _ = np.nonzero(known)
        numbers, place = np.unique(self.classes[episodes, self.labels[known]], return_inverse=True)
        right = np.bincount(place.reshape(-1), (self.predictions == self.labels)[known].astype(np.float64))
        return dict(zip(numbers.tolist(), (right / np.bincount(place.reshape(-1))).tolist(), strict=True))


def evaluate_general(
    embeddings: Embeddings,
    episodes: GeneralEpisodes,
    classifier: Classifier,
    *,
    block: int | None = None,
    processes: Processes = ALONE,
    progress: Callable[[int], None] | None = None,
) -> GeneralAccuracy:
    """Accuracy, and rejection where queries are outside the support. Of equal scores the first way wins.

    A transductive classifier sees all queries of an episode, those outside the support among them.

    Args:
        embeddings: of all images of the episodes; the work is done where they are.
        episodes: general ones.
        classifier: fitted to each episode's support by itself.
        block: episodes of one shape at once; None fits them to the machine.
        processes: take turns with the parts, and all have the whole result.
        progress: called with the number of its episodes after each part of this process.

    Raises:
        InputError: an embedding is not finite.
        ValueError: an image was not embedded.
    """
    parts = parts_of_one_shape(embeddings, episodes, classifier, block)
    own = list(processes.turns(parts))
    device = embeddings.features.device
    outside = bool((episodes.query_labels == OUTSIDE).any())
    width = episodes.query.shape[1]
    predicted = [torch.empty(0, width, dtype=torch.int16, device=device)]
    areas = [torch.empty(0, len(REJECTION), dtype=torch.float64, device=device)]
    for found in score(embeddings, episodes, classifier, own):
        made = predicted[0].new_full((len(found.episodes), width), PADDING)
        columns = torch.from_numpy(found.columns).to(device)
        predicted.append(made.scatter_(1, columns, found.scores.argmax(dim=-1).to(torch.int16)))
        if outside:
            areas.append(_rejection(found))
        if progress is not None:
            progress(len(found.episodes))
    ends = np.cumsum([len(part) for part in parts])
    blocks = [slice(int(end) - len(part), int(end)) for end, part in zip(ends, parts, strict=True)]
    order = np.argsort(np.concatenate(parts), kind="stable")
    predictions = processes.collected(torch.cat(predicted), blocks).cpu().numpy()[order]
    labels = episodes.query_labels.astype(np.int16)
    rejection = {}
    if outside:
        values = processes.collected(torch.cat(areas), blocks).cpu().numpy()[order]
        rejection = {name: values[:, column].copy() for column, name in enumerate(REJECTION)}
    return GeneralAccuracy(predictions, labels, episodes.classes, rejection)


def _rejection(found: Scored) -> Tensor:
    """AUROC float64 [e, measures] of each of REJECTION."""
    scores = found.scores.double()
    kept_by = {
        "probability": scores.softmax(dim=-1).amax(dim=-1),
        "score": scores.amax(dim=-1) - scores.mean(dim=-1),
        "distance": -found.distances,
    }
    known = found.labels >= 0
    return torch.stack([auroc(kept_by[name], known, ~known) for name in REJECTION], dim=1)
