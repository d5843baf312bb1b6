"""How far an image is from everything in the support, in units of what the support's own images are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import normalize

from fewshot.evaluation.classifiers.cl2n import CL2N
from fewshot.evaluation.classifiers.classifier import Classifier


@dataclass(frozen=True)
class Space:
    """Where a classifier measures distances: on the embeddings, after CL2N, and on the sphere for cosines.

    Attributes:
        centred: CL2N, whose transform comes first; None for nothing.
        unit: whether vectors and prototypes are brought to length one, so that the Euclidean distance is
            sqrt(2 - 2 cos).
    """

    centred: CL2N | None
    unit: bool

    @classmethod
    def of(cls, classifier: Classifier) -> Space:
        """The space of a classifier; Euclidean where it has no `similarity` (logistic, ridge)."""
        centred = classifier if isinstance(classifier, CL2N) else None
        inner = classifier.classifier if isinstance(classifier, CL2N) else classifier
        return cls(centred, getattr(inner, "similarity", "euclidean") == "cosine")

    def vectors(self, embeddings: Tensor) -> Tensor:
        """Embeddings [..., dim] as means are taken of them."""
        return embeddings if self.centred is None else self.centred.transform(embeddings)

    def points(self, vectors: Tensor) -> Tensor:
        """Vectors or their means [..., dim] as distances are taken between them."""
        return normalize(vectors, dim=-1) if self.unit else vectors


@dataclass(frozen=True, eq=False)
class Prototypes:
    """Class means of the support, and the distance beyond which an image is unlike all of them.

    The mean of n images that scatter by s around their class centre is itself s / sqrt(n) off, so that a new
    image of the class lies s sqrt(1 + 1 / n) from it. Distances divided by that factor are comparable
    between classes of different sizes, one image included: the *spread* d / sqrt(1 + 1 / n).

    Attributes:
        space: where distances are taken.
        means: [ways, dim], of the vectors.
        counts: float [ways], support images of each class.
        threshold: the spread from which an image counts as unlike the support; infinite if nothing says one.
        rule: one line on where the threshold comes from.
    """

    space: Space
    means: Tensor
    counts: Tensor
    threshold: float
    rule: str

    @cached_property
    def points(self) -> Tensor:
        """[ways, dim], as distances are taken."""
        return self.space.points(self.means)

    @classmethod
    def fit(
        cls,
        space: Space,
        support: Tensor,
        labels: Tensor,
        ways: int,
        false_alarms: float = 0.05,
        threshold: float | None = None,
    ) -> Prototypes:
        """Prototypes of supports [n, dim] with labels int64 [n], and their threshold.

        Each image of a class with others is measured to the mean of the others (leave one out), as spread.
        The threshold is the quantile 1 - `false_alarms` of these. Where no class has two different images,
        it is the median distance of a prototype to the nearest other, divided by sqrt(2): an image further
        from every support image than these are from each other. With one such class nothing says a
        threshold.

        Args:
            space, support, labels, ways: see above.
            false_alarms: share of the support's own images that would be called unlike it.
            threshold: a spread, instead of all this.
        """
        vectors = space.vectors(support)
        counts = torch.bincount(labels, minlength=ways).to(vectors.dtype)
        sums = vectors.new_zeros(ways, vectors.shape[1]).index_add_(0, labels, vectors)
        made = cls(space, sums / counts[:, None], counts, float("inf"), "")
        points = made.points
        if threshold is not None:
            return replace(made, threshold=threshold, rule="given")
        own = counts[labels]
        several = own > 1
        others = own[several] - 1
        means = (sums[labels[several]] - vectors[several]) / others[:, None]
        distances = (space.points(vectors[several]) - space.points(means)).norm(dim=1)
        spreads = distances / (1 + 1 / others).sqrt()
        if len(spreads) and float(spreads.amax()) > 1e-6 * float(points.norm(dim=1).amax()):
            found = float(spreads.double().quantile(1 - false_alarms))
            rule = f"{1 - false_alarms:.0%} of {len(spreads)} support images are nearer, each left out"
        elif ways > 1:
            between = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
            nearest = between.fill_diagonal_(torch.inf).amin(dim=1)
            found = float(nearest.median()) / 2**0.5
            rule = "the median distance from a class to the nearest other, since no class has two images"
        else:
            found, rule = float("inf"), "none: one image says nothing of what is unlike it"
        return replace(made, threshold=found, rule=rule)

    def distances(self, points: Tensor) -> Tensor:
        """Euclidean distances [m, ways] of points [m, dim] to each prototype."""
        return torch.cdist(points, self.points, compute_mode="donot_use_mm_for_euclid_dist")

    def spread(self, distances: Tensor) -> Tensor:
        """The least spread [m] over the classes, of distances [m, ways]."""
        return (distances / (1 + 1 / self.counts).sqrt()).amin(dim=1)
