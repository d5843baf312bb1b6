"""Multinomial logistic regression, solved for all episodes of a block at once."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from fewshot.errors import InputError
from fewshot.evaluation.classifiers.classifier import balanced_labels
from fewshot.evaluation.classifiers.nearest_prototype import LinearScores


@dataclass(frozen=True)
class LogisticRegression:
    """Softmax regression with a squared penalty on the weights and a free intercept.

    minimise  c * sum_i -log softmax(W x_i + b)[y_i]  +  |W|^2 / 2
    This is scikit-learn's LogisticRegression(C=c); the solution is unique, so that predictions agree
    up to the tolerances of the two solvers.

    Attributes:
        c: inverse strength of the penalty, above 0. Its fit depends on the scale of the embeddings.
        tolerance: an episode is solved when its gradient is this small a share of its weights (both
            by their norms), which bounds the relative error of the weights.
        iterations: bound on the steps; episodes that need more are used as they are, with a warning.
    """

    c: float = 1.0
    tolerance: float = 1e-4
    iterations: int = 300
    block_bytes: ClassVar[int] = 32 << 20
    transductive: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name in ("c", "tolerance", "iterations"):
            if not getattr(self, name) > 0:
                raise InputError(f"classifier.{name}={getattr(self, name)} must be above 0")

    def fit(self, support: Tensor) -> LinearScores:
        """Weights from supports [episodes, ways, shots, dim]."""
        return self.fit_labelled(support.flatten(1, 2), balanced_labels(support), support.shape[1])

    def fit_labelled(self, support: Tensor, labels: Tensor, ways: int) -> LinearScores:
        """Weights from supports [episodes, n, dim] with labels [episodes, n]."""
        # The intercept is free, so that moving the origin changes nothing but the conditioning.
        centre = support.mean(dim=1, keepdim=True)
        x = support - centre
        gram = self.c * torch.bmm(x, x.mT).double()
        # Rounding in the product leaves eigenvalues slightly below 0; this is of the same size.
        diagonal = gram.diagonal(dim1=1, dim2=2)
        diagonal.add_(1e-6 * diagonal.mean(dim=1, keepdim=True))
        targets = one_hot(labels, ways).to(gram.dtype).mT.contiguous()  # [episodes, ways, n]
        dual, intercept = _solve(gram, targets, self.tolerance, self.iterations)
        weight = self.c * torch.bmm(dual.to(x), x)  # [episodes, ways, dim]
        bias = intercept.to(x) - torch.bmm(weight, centre.mT).squeeze(-1)
        return LinearScores(weight, bias)


class _Pair(NamedTuple):
    """A step and the change of the gradient over it, each with its image under the metric."""

    step: Tensor
    change: Tensor
    step_image: Tensor
    change_image: Tensor
    inverse: Tensor
    """[episodes], 1 / <step, change>; 0 where an episode did not move."""


def _solve(gram: Tensor, labels: Tensor, tolerance: float, iterations: int) -> tuple[Tensor, Tensor]:
    """L-BFGS (Nocedal & Wright 2006, algorithm 7.4) on every episode, in coordinates of the supports.

    The weights of class k are sum_i a_ki x_i and its intercept is s^2 t_k, so that an episode has
    ways * (n + 1) unknowns u = (a, t) however large dim is. In the metric of the weights,
    <u, v> = a_u G a_v + s^2 t_u t_v, the gradient of the objective is (a + p - y, sum_i (p - y)_i):
    no factor of G is needed, and steps are those that the method would take on the weights
    themselves. The image of u is (G a, s^2 t).

    Args:
        gram: float64 [episodes, n, n], inner products of the supports times c.
        labels: float64 [episodes, ways, n], one-hot.

    Returns:
        float64 [episodes, ways, n], the dual coefficients a, and [episodes, ways], the intercepts.
        An episode's solution does not depend on the company it is solved in: once solved it stays.
    """
    episodes, ways, n = labels.shape
    metric = gram.new_zeros(episodes, n + 1, n + 1)
    metric[:, :n, :n] = gram
    # The intercept as the weight of one more feature, a constant whose curvature is that of an average
    # direction of the others and not below the penalty's: the steps then fit both.
    metric[:, n, n] = (gram.diagonal(dim1=1, dim2=2).mean(dim=1) + ways) / n
    point = image = labels.new_zeros(episodes, ways, n + 1)
    value, gradient = _objective(point, image, labels)
    gradient_image = torch.bmm(gradient, metric)
    squared_norm = _dot(gradient, gradient_image)
    # Of a gradient that small, as identical supports have it, rounding is all there is.
    rounding = (n * torch.finfo(gram.dtype).eps) ** 2
    solved = squared_norm <= rounding
    memory: list[_Pair] = []
    for _ in range(iterations):
        if bool(solved.all()):
            break
        direction = _direction(gradient, memory)
        direction_image = torch.bmm(direction, metric)
        slope = _dot(gradient, direction_image)
        if memory:
            length = torch.ones_like(slope)
        else:
            # The exact minimum along the first direction of the quadratic at p = 1 / ways.
            logits = _logits(direction_image)
            penalty = _dot(direction[..., :n], direction_image[..., :n])
            length = -slope / (penalty + _dot(logits, logits) / ways)
        length = torch.where(solved, 0.0, length)
        new_point, new_image, new_value, new_gradient, length = _search(
            point, image, value, labels, direction, direction_image, length, slope
        )
        # Where no step lowers the objective any more, rounding is all that is left.
        solved = solved | (length == 0)
        new_gradient_image = torch.bmm(new_gradient, metric)
        step, change = new_point - point, new_gradient - gradient
        step_image, change_image = new_image - image, new_gradient_image - gradient_image
        inner = _dot(step_image, change)
        inverse = torch.where(inner > 0, 1 / inner, 0.0)
        memory = [*memory, _Pair(step, change, step_image, change_image, inverse)][-6:]
        point, image, value = new_point, new_image, new_value
        gradient, gradient_image = new_gradient, new_gradient_image
        goal = (tolerance**2 * _dot(point, image)).clamp_min(rounding)
        solved = solved | (_dot(gradient, gradient_image) <= goal)
    if not bool(solved.all()):
        warnings.warn(
            f"logistic regression: {int((~solved).sum())} of {episodes} episodes did not reach "
            f"tolerance {tolerance:g} within {iterations} iterations; normalise the embeddings or lower c",
            RuntimeWarning,
            stacklevel=3,
        )
    return point[..., :n], image[..., n]


def _search(
    point: Tensor,
    image: Tensor,
    value: Tensor,
    labels: Tensor,
    direction: Tensor,
    direction_image: Tensor,
    length: Tensor,
    slope: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Halve each episode's step until the objective falls enough (Armijo); 0 where it never does.

    Returns:
        new point, its image, objective, gradient, and the step lengths [episodes].
    """
    slack = 1e-13 * value.abs()
    for attempt in range(31):
        new_point = torch.addcmul(point, length[:, None, None], direction)
        new_image = torch.addcmul(image, length[:, None, None], direction_image)
        new_value, new_gradient = _objective(new_point, new_image, labels)
        failed = ~(new_value <= value + 1e-4 * length * slope + slack)
        if not bool(failed.any()):
            break
        length = torch.where(failed, length / 2 if attempt < 29 else 0.0, length)
    return new_point, new_image, new_value, new_gradient, length


def _objective(point: Tensor, image: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The objective [episodes] and its gradient [episodes, ways, n + 1] at a point with its image."""
    n = labels.shape[-1]
    logits = _logits(image)
    highest = logits.amax(dim=1, keepdim=True)
    exponents = (logits - highest).exp()
    total = exponents.sum(dim=1, keepdim=True)
    loss = (total.log() + highest).sum(dim=(1, 2)) - _dot(logits, labels)
    residual = exponents / total - labels
    gradient = torch.cat([point[..., :n] + residual, residual.sum(dim=-1, keepdim=True)], dim=-1)
    return loss + 0.5 * _dot(point[..., :n], image[..., :n]), gradient


def _logits(image: Tensor) -> Tensor:
    """[episodes, ways, n], from the image of the weights."""
    return image[..., :-1] + image[..., -1:]


def _direction(gradient: Tensor, memory: list[_Pair]) -> Tensor:
    """The two loops of L-BFGS: minus the approximate inverse Hessian times the gradient."""
    direction = -gradient
    coefficients = []
    for pair in reversed(memory):
        coefficient = pair.inverse * _dot(pair.step_image, direction)
        direction = torch.addcmul(direction, coefficient[:, None, None], pair.change, value=-1)
        coefficients.append(coefficient)
    if memory:
        last = memory[-1]
        curvature = last.inverse * _dot(last.change, last.change_image)
        direction = direction * torch.where(curvature > 0, 1 / curvature, 1.0)[:, None, None]
    for pair, coefficient in zip(memory, reversed(coefficients), strict=True):
        correction = coefficient - pair.inverse * _dot(pair.change_image, direction)
        direction = torch.addcmul(direction, correction[:, None, None], pair.step)
    return direction


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner product of each episode's entries: [episodes]."""
    product: Tensor = torch.linalg.vecdot(a.flatten(1), b.flatten(1))
    return product
