"""Ridge regression on class indicators, in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from fewshot.errors import InputError
from fewshot.evaluation.classifiers.classifier import balanced_labels
from fewshot.evaluation.classifiers.nearest_prototype import LinearScores


@dataclass(frozen=True)
class Ridge:
    """Least squares to targets of +1 (own class) and -1, with an L2 penalty and a free intercept.

    minimise sum_i |y_i - W x_i - b|^2 + penalty |W|^2; the highest output wins. It is the base
    learner of R2-D2 (Bertinetto et al. 2019, equation 4) with an intercept.

    Attributes:
        penalty: of the squared weights, above 0. Its fit depends on the scale of the embeddings.
    """

    penalty: float = 1.0
    block_bytes: ClassVar[int] = 32 << 20
    transductive: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not self.penalty > 0:
            raise InputError(f"classifier.penalty={self.penalty} must be above 0")

    def fit(self, support: Tensor) -> LinearScores:
        """Weights from supports [episodes, ways, shots, dim]."""
        return self.fit_labelled(support.flatten(1, 2), balanced_labels(support), support.shape[1])

    def fit_labelled(self, support: Tensor, labels: Tensor, ways: int) -> LinearScores:
        """Weights from supports [episodes, n, dim], by the smaller of the two normal equations."""
        _, n, dim = support.shape
        centre = support.mean(dim=1, keepdim=True)
        x = (support - centre).double()
        targets = 2 * one_hot(labels, ways).to(x.dtype) - 1  # [episodes, n, ways]
        level = targets.mean(dim=1, keepdim=True)
        centred = targets - level
        if n <= dim:
            gram = _penalised(torch.bmm(x, x.mT), self.penalty)
            dual = torch.linalg.solve(gram, centred)  # [episodes, n, ways]
            weight = torch.bmm(dual.mT, x)
        else:
            scatter = _penalised(torch.bmm(x.mT, x), self.penalty)
            weight = torch.linalg.solve(scatter, torch.bmm(x.mT, centred)).mT
        bias = level.squeeze(1) - torch.bmm(weight, centre.double().mT).squeeze(-1)
        return LinearScores(weight.to(support), bias.to(support))


def _penalised(gram: Tensor, penalty: float) -> Tensor:
    """`gram` [episodes, k, k] with `penalty` added to the diagonal, in place."""
    gram.diagonal(dim1=1, dim2=2).add_(penalty)
    return gram
