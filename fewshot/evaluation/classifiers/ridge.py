"""Ridge regression on class indicators, in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fewshot.errors import InputError
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
        """Weights from supports [episodes, ways, shots, dim], by the smaller of the two normal equations."""
        episodes, ways, shots, dim = support.shape
        x = support.flatten(1, 2)  # [episodes, n, dim]
        centre = x.mean(dim=1, keepdim=True)
        x = (x - centre).double()
        targets = torch.full((ways * shots, ways), -1.0, dtype=x.dtype, device=x.device)
        targets.view(ways, shots, ways).diagonal(dim1=0, dim2=2).fill_(1.0)
        level = targets.mean(dim=0)  # [ways]
        centred = (targets - level).expand(episodes, -1, -1)
        if ways * shots <= dim:
            gram = _penalised(torch.bmm(x, x.mT), self.penalty)
            dual = torch.linalg.solve(gram, centred)  # [episodes, n, ways]
            weight = torch.bmm(dual.mT, x)
        else:
            scatter = _penalised(torch.bmm(x.mT, x), self.penalty)
            weight = torch.linalg.solve(scatter, torch.bmm(x.mT, centred)).mT
        bias = level - torch.bmm(weight, centre.double().mT).squeeze(-1)
        return LinearScores(weight.to(support), bias.to(support))


def _penalised(gram: Tensor, penalty: float) -> Tensor:
    """`gram` [episodes, k, k] with `penalty` added to the diagonal, in place."""
    gram.diagonal(dim1=1, dim2=2).add_(penalty)
    return gram
