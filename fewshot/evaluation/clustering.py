"""How well clusters of embeddings agree with classes: k-means, NMI and AMI."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import adjusted_mutual_info_score, normalized_mutual_info_score
from torch import Tensor

from fewshot.errors import InputError
from fewshot.evaluation.embeddings import Embeddings, require_finite
from fewshot.evaluation.nearest import Similarity, unit_rows

# A block of distances, 4 bytes each, for a processor's cache or an accelerator.
_PAIRS_CPU, _PAIRS_DEVICE = 1 << 20, 1 << 26
_FIXED_POINT = 2.0**30  # parts of one, in sums of up to 2^32 coordinates within [-2, 2]


@dataclass(frozen=True, eq=False)
class Clusters:
    """A clustering of n points.

    Attributes:
        assigned: int64 [n], the cluster of each point.
        centres: float32 [k, dim].
        inertia: sum of squared distances of the points to their centres.
    """

    assigned: Tensor
    centres: Tensor
    inertia: float


@dataclass(frozen=True)
class Agreement:
    """How much clusters tell about classes.

    Attributes:
        nmi: normalised mutual information, by the arithmetic mean of the entropies; in [0, 1]. It grows with
            the number of clusters even where they are drawn by chance.
        ami: adjusted mutual information (Vinh et al. 2010, JMLR 11), 0 on average by chance.
        clusters: k, the number of classes.
    """

    nmi: float
    ami: float
    clusters: int


def cluster_agreement(
    embeddings: Embeddings,
    labels: NDArray[np.int64],
    generator: torch.Generator,
    *,
    restarts: int = 1,
    similarity: Similarity = "cosine",
) -> Agreement:
    """NMI and AMI between classes and as many clusters of k-means.

    Args:
        embeddings: [n, dim]; the work is done where they are.
        labels: int64 [n], the class of each.
        generator: draws the first centres; on any device.
        restarts: as in `k_means`.
        similarity: cosine clusters unit vectors.

    Raises:
        InputError: an embedding that is not finite, or there is none.
    """
    require_finite(embeddings.features, embeddings.images)
    points = unit_rows(embeddings.features) if similarity == "cosine" else embeddings.features
    classes = len(np.unique(labels))
    assigned = k_means(points, classes, generator, restarts=restarts).assigned.cpu().numpy()
    nmi = normalized_mutual_info_score(labels, assigned, average_method="arithmetic")
    ami = adjusted_mutual_info_score(labels, assigned, average_method="arithmetic")
    return Agreement(float(nmi), float(ami), classes)


@torch.inference_mode()
def k_means(
    points: Tensor, k: int, generator: torch.Generator, *, restarts: int = 1, iterations: int = 100
) -> Clusters:
    """Lloyd's k-means from k-means++ centres (Arthur & Vassilvitskii 2007); the same for the same generator.

    An empty cluster moves to the point farthest from its centre. Fewer distinct points than k leave clusters
    empty.

    Args:
        points: [n, dim]; computed in float32.
        k: clusters.
        generator: draws the first centres; on any device.
        restarts: the clustering of the lowest inertia of so many.
        iterations: at most; it ends before where no point changes its cluster.

    Raises:
        InputError: k is not within 1..n, or there is no restart.
    """
    if not 1 <= k <= len(points):
        raise InputError(f"k-means cannot make {k} clusters of {len(points)} embeddings")
    if restarts < 1:
        raise InputError(f"restarts={restarts} of k-means must be at least 1")
    points = points.float()
    # Within [-2, 2] and near zero: a common offset would cost digits, squares of huge values overflow.
    scale = 2.0 ** -math.frexp(float(points.abs().max()))[1]
    origin = points[:1] * scale
    moved = points * scale - origin
    tried = [_lloyd(moved, _first_centres(moved, k, generator), iterations) for _ in range(restarts)]
    best = min(tried, key=lambda clusters: clusters.inertia)  # of equals the first
    return Clusters(best.assigned, (best.centres + origin) / scale, best.inertia / scale / scale)


def _first_centres(points: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """float32 [k, dim]: each a point drawn by its squared distance to the nearest of those before it."""
    draws = torch.rand(k, generator=generator, dtype=torch.float64, device=generator.device).to(points.device)
    squares = points.square().sum(dim=1)
    weight = torch.ones_like(squares, dtype=torch.float64)
    centres = points.new_empty(k, points.shape[1])
    for number in range(k):  # one draw depends on the last
        mass = weight.cumsum(0)
        chosen = torch.searchsorted(mass, draws[number : number + 1] * mass[-1], right=True)
        centre = points[chosen.clamp(max=len(points) - 1)]
        centres[number] = centre
        near = (squares + centre.square().sum() - 2 * (points @ centre.T).squeeze(1)).clamp(min=0).double()
        weight = near if number == 0 else torch.minimum(weight, near)
    return centres


def _lloyd(points: Tensor, centres: Tensor, iterations: int) -> Clusters:
    assigned, squared = _assign(points, centres)
    for _ in range(iterations):
        centres = _means(points, assigned, squared, centres)
        again, squared = _assign(points, centres)
        if torch.equal(again, assigned):
            break
        assigned = again
    return Clusters(assigned, centres, float(squared.sum()))


def _assign(points: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest centre int64 [n] of each point (of equals the first), its squared distance float64 [n]."""
    half = centres.square().sum(dim=1) / 2
    pairs = _PAIRS_CPU if points.device.type == "cpu" else _PAIRS_DEVICE
    assigned, squared = [], []
    for block in torch.split(points, max(1, pairs // max(centres.shape))):
        nearest = torch.addmm(half, block, centres.T, alpha=-1).argmin(dim=1)
        assigned.append(nearest)
        squared.append((block - centres[nearest]).square().sum(dim=1, dtype=torch.float64))
    return torch.cat(assigned), torch.cat(squared)


def _means(points: Tensor, assigned: Tensor, squared: Tensor, centres: Tensor) -> Tensor:
    """The mean of each cluster, and the farthest points for empty ones."""
    # In whole numbers, which add up to the same in every order: floats do not, and a device has no order.
    sums = torch.zeros(centres.shape, dtype=torch.int64, device=points.device)
    step = max(1, (_PAIRS_CPU if points.device.type == "cpu" else _PAIRS_DEVICE) // points.shape[1])
    for block, where in zip(torch.split(points, step), torch.split(assigned, step), strict=True):
        sums.index_add_(0, where, (block.double() * _FIXED_POINT).round().long())
    counts = assigned.bincount(minlength=len(centres))
    means = (sums.double() / counts.clamp(min=1)[:, None] / _FIXED_POINT).float()
    empty = (counts == 0).nonzero().squeeze(1)
    if len(empty):
        farthest = squared.sort(descending=True, stable=True).indices[: len(empty)]
        # Where all points lie on their centres there is nothing to move to.
        means[empty] = torch.where(squared[farthest, None] > 0, points[farthest], centres[empty])
    return means
