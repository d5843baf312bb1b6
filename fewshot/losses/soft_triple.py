"""SoftTriple loss: several proxies a class (Qian et al. 2019, arXiv 1909.05235)."""

from __future__ import annotations

import torch
from torch import Tensor

from fewshot.losses.arguments import above_zero, at_least_one, finite
from fewshot.losses.distances import unit
from fewshot.losses.generic import Form, Half
from fewshot.losses.precision import full_precision
from fewshot.losses.proxy_loss import ProxyLoss, proxies


class SoftTriple(ProxyLoss):
    """-log( exp(scale (S_y - margin)) / (exp(scale (S_y - margin)) + sum_{k != y} exp(scale S_k)) ) (eq. 8).

    S_k = sum_i q_i s_i over the proxies i of class k, q = softmax_i(s_i / gamma). With `tau` 0 it equals
    pytorch-metric-learning's SoftTripleLoss(la=scale, gamma=gamma, margin=margin).

    Args:
        classes: of the training set; labels are in [0, classes).
        dim: of the embeddings.
        per_class: proxies of each class.
        scale: lambda, inverse temperature.
        gamma: temperature of the weights within a class.
        margin: delta, a cosine.
        tau: weight of the penalty on a class's proxies that lie apart, half the mean over pairs of
            sqrt(2 - 2 s) (eq. 9).
        lr_scale: factor of the optimizer's rate for the proxies.
        seed: of the proxies.

    Raises:
        InputError: a number out of its range.
    """

    def __init__(
        self,
        classes: int,
        dim: int,
        per_class: int = 10,
        scale: float = 20.0,
        gamma: float = 0.1,
        margin: float = 0.01,
        tau: float = 0.2,
        lr_scale: float = 100.0,
        seed: int = 0,
    ) -> None:
        above_zero(scale=scale)
        finite(margin=margin)

        def positive(score: Tensor) -> Tensor:
            return scale * (score - margin)

        def negative(score: Tensor) -> Tensor:
            return scale * score

        form = Form(Half(positive, "log", -1.0), Half(negative, "log"), tau="softplus")
        weight = proxies(classes, dim, seed, at_least_one(per_class=per_class))
        super().__init__(form, classes, weight, lr_scale)
        self.per_class = per_class
        self.gamma = above_zero(gamma=gamma)
        self.tau = finite(tau=tau)

    def class_scores(self, similarity: Tensor) -> Tensor:
        of_class = similarity.reshape(*similarity.shape[:-1], -1, self.per_class)
        return ((of_class / self.gamma).softmax(-1) * of_class).sum(-1)

    def penalty(self) -> Tensor | None:
        if self.tau == 0 or self.per_class == 1:
            return None
        return self.tau / 2 * mean_distance_within(self.weight.view(-1, self.per_class, self.weight.shape[1]))


@full_precision
def mean_distance_within(groups: Tensor) -> Tensor:
    """Mean over all pairs within groups [g, k, dim] of sqrt(2 - 2 s), s the cosine; 0-d.

    The 1e-5 under the root, the public code's, bounds the gradient of proxies that coincide.
    """
    directions = unit(groups)
    first, second = torch.triu_indices(groups.shape[1], groups.shape[1], offset=1, device=groups.device)
    cosines = (directions @ directions.mT)[:, first, second]
    return ((2 - 2 * cosines).clamp(min=0) + 1e-5).sqrt().mean()
