"""How embeddings fill the unit sphere: utilization, alignment and uniformity.

All three work on unit vectors, whatever the length of the embeddings, and add up in float64.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fewshot.errors import InputError
from fewshot.evaluation.embeddings import Embeddings, require_finite
from fewshot.evaluation.nearest import nearest, unit_rows

_ROWS_CPU, _ROWS_DEVICE = 1024, 8192


def utilization(queries: Embeddings, training: Embeddings) -> float:
    """u(Q, X) = mean over q of min over x of ||f(q) - f(x)||^2, within [0, 4]; the lower, the better.

    How well the training images cover the places where test images fall (Venkataramanan et al. 2022,
    arXiv 2106.04990).

    Args:
        queries: of the test images, [q, dim].
        training: of the images that the model was trained on, [n, dim], on the same device.

    Raises:
        InputError: one of them is empty or not finite.
    """
    asked, seen = _unit(queries, "test "), _unit(training, "training ")
    closest = nearest(asked, seen, 1).indices.squeeze(1)
    rows = _rows(asked)
    # From differences: 2 - 2 cos has no digits left where a test image nearly equals a training image.
    squared = [
        (part.double() - seen[where].double()).square().sum(dim=1)
        for part, where in zip(torch.split(asked, rows), torch.split(closest, rows), strict=True)
    ]
    return float(torch.cat(squared).mean())


def alignment(embeddings: Embeddings, labels: NDArray[np.int64]) -> float:
    """E ||f(x) - f(y)||^2 over all ordered pairs of two images of one class; 0 where each class is a point.

    The alignment of Wang & Isola 2020 (arXiv 2005.10242), section 4.1, with alpha = 2 and classes for
    positive pairs. The squares of all pairs of n_c images add up to 2 n_c sum_x ||f(x) - mean_c||^2.

    Args:
        embeddings: [n, dim].
        labels: int64 [n], the class of each.

    Raises:
        InputError: no class has two images, or an embedding is not finite.
    """
    unit = _unit(embeddings, "")
    _, numbers, counts = np.unique(labels, return_inverse=True, return_counts=True)
    pairs = int((counts * (counts - 1)).sum())
    if not pairs:
        raise InputError("alignment needs a class of two images or more; every class has a single one")
    place, sizes = (torch.from_numpy(of).to(unit.device) for of in (numbers, counts))
    means = torch.zeros(len(counts), unit.shape[1], dtype=torch.float64, device=unit.device)
    rows = _rows(unit)
    blocks = list(zip(torch.split(unit, rows), torch.split(place, rows), strict=True))
    for part, where in blocks:
        means.index_add_(0, where, part.double())
    means /= sizes[:, None]
    total = 0.0
    for part, where in blocks:
        spread = (part.double() - means[where]).square().sum(dim=1)  # [rows]
        total += float((2 * sizes[where] * spread).sum())
    return total / pairs


def uniformity(embeddings: Embeddings) -> float:
    """log E exp(-2 ||f(x) - f(y)||^2) over all pairs of two images, within [-8, 0]; the lower, the more even.

    The uniformity of Wang & Isola 2020 (arXiv 2005.10242), section 4.1, with t = 2: exact, over all pairs.

    Args:
        embeddings: [n, dim], n at least 2.

    Raises:
        InputError: fewer than two images, or an embedding is not finite.
    """
    unit = _unit(embeddings, "")
    if len(unit) < 2:
        raise InputError("uniformity needs two images or more; there is one")
    rows = _rows(unit)
    total = torch.zeros((), dtype=torch.float64, device=unit.device)
    with torch.autocast(unit.device.type, enabled=False):
        for start in range(0, len(unit), rows):
            for other in range(start, len(unit), rows):
                cosines = unit[start : start + rows] @ unit[other : other + rows].T
                closeness = cosines.sub_(1).clamp_(max=0).mul_(4).exp_()  # -2 (2 - 2 cos)
                if other == start:
                    closeness = closeness.triu_(1)  # each pair once, and none with itself
                total += closeness.sum(dtype=torch.float64)
    return math.log(float(total) / (len(unit) * (len(unit) - 1) / 2))


def _unit(embeddings: Embeddings, name: str) -> Tensor:
    if not len(embeddings.images):
        raise InputError(f"there are no {name}embeddings to measure; the selection of images is empty")
    require_finite(embeddings.features, embeddings.images)
    return unit_rows(embeddings.features)


def _rows(points: Tensor) -> int:
    return _ROWS_CPU if points.device.type == "cpu" else _ROWS_DEVICE
