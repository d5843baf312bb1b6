"""Images of an evaluation with their embeddings: what pictures of it are drawn from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fewshot.data.image_set import ImageSet
from fewshot.evaluation.classifiers.classifier import Classifier
from fewshot.evaluation.embeddings import Embeddings
from fewshot.sampling.general_episodes import GeneralEpisodes
from fewshot.sampling.testbed import Testbed


@dataclass(frozen=True, eq=False)
class EvaluatedImages:
    """Some or all images of the classes that a model was evaluated on, or is chosen by.

    Attributes:
        what: they are, in words.
        image_set: holds their pixels and the names of their classes.
        embeddings: of them.
        testbed: the balanced episodes they were evaluated in; None of another evaluation.
        classifier: which classified these.
        episodes: the same, or those that are not balanced, in the general form.
    """

    what: str
    image_set: ImageSet
    embeddings: Embeddings
    testbed: Testbed | None = None
    classifier: Classifier | None = None
    episodes: GeneralEpisodes | None = None

    @property
    def labels(self) -> NDArray[np.int64]:
        """int64 [n], the class number of each embedded image."""
        labels: NDArray[np.int64] = self.image_set.labels.numpy()[self.embeddings.images]
        return labels

    def class_name(self, number: int) -> str:
        """The name of a class by its number in the image set."""
        return self.image_set.class_names[number]

    def spread(self, classes: int, images: int) -> NDArray[np.int64]:
        """int64 [m], rows of some images of some classes, evenly through the classes and the images of each.

        Args:
            classes: most classes, of those with two images if there are any.
            images: most images of each.
        """
        labels = self.labels
        numbers, counts = np.unique(labels, return_counts=True)
        several = numbers[counts > 1] if (counts > 1).any() else numbers
        chosen = several[evenly(len(several), classes)]
        rows = [np.flatnonzero(labels == number) for number in chosen]
        return np.concatenate([of[evenly(len(of), images)] for of in rows])


def evenly(total: int, most: int) -> NDArray[np.int64]:
    """int64 [min(total, most)], places within 0..total-1 at equal distances."""
    count = min(total, most)
    return np.arange(count, dtype=np.int64) * total // max(count, 1)
