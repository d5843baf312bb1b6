"""Labels for images, from a few labelled ones: classes with probabilities, distances and nearest supports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from fewshot.evaluation.classifiers.cl2n import CL2N, CL2NFitted
from fewshot.evaluation.classifiers.classifier import Classifier, Fitted
from fewshot.evaluation.classifiers.nearest_prototype import NearestPrototype
from fewshot.evaluation.leave_one_out import LeftOut, leave_one_out, temperature
from fewshot.evaluation.unlikeness import Prototypes, Space


class Labels(NamedTuple):
    """What is said of m images; k classes and r support images of each, best first."""

    classes: Tensor
    """int64 [m, k]."""
    probabilities: Tensor
    """float [m, k]; over all classes they sum to 1."""
    distances: Tensor
    """float [m, k], to the prototype of each class."""
    nearest: Tensor
    """int64 [m, r], rows of the support."""
    nearest_distances: Tensor
    """float [m, r]."""
    spread: Tensor
    """float [m], see `Prototypes`."""


@dataclass(frozen=True, eq=False)
class Labeller:
    """A classifier fitted to a support.

    Attributes:
        fitted: gives the scores.
        temperature: probabilities are softmax(scores / temperature).
        support: [n, dim], as points of the prototypes' space.
        prototypes: for distances and for what is unlike the support.
        accuracy: share of left-out support images that the others label right; None without any.
    """

    fitted: Fitted
    temperature: float
    support: Tensor
    prototypes: Prototypes
    accuracy: float | None

    @classmethod
    def fit(
        cls,
        classifier: Classifier,
        support: Tensor,
        labels: Tensor,
        ways: int,
        *,
        given_temperature: float | None = None,
        false_alarms: float = 0.05,
        threshold: float | None = None,
    ) -> Labeller:
        """Fit to embeddings.

        Args:
            classifier: see `fit_labelled`.
            support: float32 [n, dim].
            labels: int64 [n], from 0 to ways - 1, each at least once.
            ways: number of classes.
            given_temperature: instead of what `temperature` suggests.
            false_alarms, threshold: see `Prototypes.fit`.
        """
        fitted = classifier.fit_labelled(support[None], labels[None], ways)
        left_out = leave_one_out(classifier, support, labels, ways)
        space = Space.of(classifier)
        if given_temperature is None:
            given_temperature = temperature(left_out, LeftOut(fitted.predict(support[None])[0], labels))
        return cls(
            fitted,
            given_temperature,
            space.points(space.vectors(support)),
            Prototypes.fit(space, support, labels, ways, false_alarms, threshold),
            left_out.accuracy,
        )

    @classmethod
    def of_prototypes(cls, classifier: Classifier, prototypes: Prototypes, temperature: float) -> Labeller:
        """Of class means alone, as `fit` makes them; it names no nearest support images.

        Args:
            classifier: nearest prototype, by distance or cosine, or CL2N before it.
            prototypes: of the classifier's space.
            temperature: see above.

        Raises:
            TypeError: another classifier, which needs each support image.
        """
        inner = classifier.classifier if isinstance(classifier, CL2N) else classifier
        if not isinstance(inner, NearestPrototype):
            raise TypeError(f"{type(inner).__name__} needs each support image")
        fitted: Fitted = inner.fit_prototypes(prototypes.means[None])
        if isinstance(classifier, CL2N):
            fitted = CL2NFitted(classifier, fitted)
        return cls(fitted, temperature, prototypes.points[:0], prototypes, None)

    def label(self, query: Tensor, classes: int, nearest: int) -> Labels:
        """Label embeddings float32 [m, dim].

        Args:
            query: of the images.
            classes: how many to name, at most all.
            nearest: how many support images to name, at most all.
        """
        scores = self.fitted.predict(query[None])[0]
        probabilities = (scores.double() / self.temperature).softmax(dim=1)
        best = scores.topk(min(classes, scores.shape[1]), dim=1).indices
        space = self.prototypes.space
        points = space.points(space.vectors(query))
        distances = self.prototypes.distances(points)
        # By a product first, which is fast; then exactly, so that an image is at 0 from itself.
        centre = self.support.mean(dim=0)
        rough = torch.cdist(points - centre, self.support - centre)
        rows = rough.topk(min(nearest, len(self.support)), dim=1, largest=False).indices
        exact = (points[:, None] - self.support[rows]).norm(dim=-1)
        exact, order = exact.sort(dim=1, stable=True)
        return Labels(
            best,
            probabilities.gather(1, best),
            distances.gather(1, best),
            rows.gather(1, order),
            exact,
            self.prototypes.spread(distances),
        )
