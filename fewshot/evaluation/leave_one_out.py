"""What the support says of a classifier: each image scored by the others, and a temperature from it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from fewshot.evaluation.classifiers.classifier import Classifier

_MOST = 100
"""Images that are left out, since each is a fit of its own; evenly spaced where there are more."""


class LeftOut(NamedTuple):
    """Scores float [m, ways] of m support images, each by a classifier fitted to the others; labels [m]."""

    scores: Tensor
    labels: Tensor

    @property
    def accuracy(self) -> float | None:
        """Share that is labelled right; None where no image could be left out."""
        if not len(self.labels):
            return None
        return float((self.scores.argmax(1) == self.labels).double().mean())


def leave_one_out(classifier: Classifier, support: Tensor, labels: Tensor, ways: int) -> LeftOut:
    """Score support images by the others; an image that is alone in its class is never left out.

    Args:
        classifier: fitted anew for each image.
        support: float [n, dim].
        labels: int64 [n], from 0 to ways - 1.
        ways: number of classes.
    """
    n, dim = support.shape
    rows = (torch.bincount(labels, minlength=ways)[labels] > 1).nonzero().flatten()
    if len(rows) > _MOST:
        rows = rows[torch.linspace(0, len(rows) - 1, _MOST, device=rows.device).round().long()]
    others = torch.arange(n - 1, device=rows.device)
    block = max(1, classifier.block_bytes // max(1, (n - 1) * dim * 4))
    scores = [support.new_empty(0, ways)]
    for start in range(0, len(rows), block):
        left_out = rows[start : start + block]
        kept = others + (others >= left_out[:, None])  # [episodes, n - 1]
        fitted = classifier.fit_labelled(support[kept], labels[kept], ways)
        scores.append(fitted.predict(support[left_out][:, None]).squeeze(1))
    return LeftOut(torch.cat(scores), labels[rows])


def temperature(left_out: LeftOut, fitted: LeftOut) -> float:
    """The temperature T of softmax(scores / T) that the support suggests.

    The least cross-entropy of the left-out images, over a grid of 20 values a decade. As in Platt (1999), the
    target of the own class is (m + 1) / (m + 2) and not 1 for m images: a few that are all labelled right
    are no reason for certainty. Without left-out images it is a quarter of the median lead of the own class
    over the best other in `fitted`, so that under squared distances an image a quarter of the way from the
    one support image to that of the only other class has probability 0.88.

    Args:
        left_out: of `leave_one_out`.
        fitted: scores of all support images by the classifier fitted to all of them.
    """
    ways = fitted.scores.shape[1]
    if ways == 1:
        return 1.0
    source = left_out if len(left_out.labels) else fitted
    own = one_hot(source.labels, ways).bool()
    scores = source.scores.double()
    lead = scores[own] - scores.masked_fill(own, -torch.inf).amax(dim=1)
    scale = float(lead.abs().median())
    if not scale > 0:
        return 1.0
    m = len(left_out.labels)
    if not m:
        return scale / 4
    targets = torch.where(own, (m + 1) / (m + 2), 1 / (m + 2) / (ways - 1)).to(scores)
    grid = scale * torch.logspace(-3, 3, 121, dtype=scores.dtype, device=scores.device)
    losses = -(targets * (scores / grid[:, None, None]).log_softmax(dim=-1)).sum(dim=(1, 2))
    return float(grid[losses.argmin()])
