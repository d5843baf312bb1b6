"""Normalised softmax (Zhai & Wu 2019, arXiv 1811.12649)."""

from __future__ import annotations

from torch import Tensor

from fewshot.losses.arguments import above_zero
from fewshot.losses.proxy_loss import ProxyLoss, proxies
from fewshot.losses.similarity import similarities
from fewshot.losses.softmax_form import cross_entropy, softmax_form


class NormalizedSoftmax(ProxyLoss):
    """-log( exp(s(a, w_y)/T) / sum_k exp(s(a, w_k)/T) ), on cosines (eq. 4).

    It equals pytorch-metric-learning's NormalizedSoftmaxLoss(temperature=T).

    Args:
        classes: of the training set; labels are in [0, classes).
        dim: of the embeddings.
        temperature: T, divides cosines; 0.05 in the paper.
        lr_scale: factor of the optimizer's rate for the proxies.
        seed: of the proxies.

    Raises:
        InputError: no class, no dimension, a temperature or a rate's factor not above 0.
    """

    def __init__(
        self, classes: int, dim: int, temperature: float = 0.05, lr_scale: float = 1.0, seed: int = 0
    ) -> None:
        form = softmax_form(above_zero(temperature=temperature))
        super().__init__(form, classes, proxies(classes, dim, seed), lr_scale)
        self.temperature = temperature

    def _loss(self, embeddings: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(similarities(embeddings, weight, self.similarity) / self.temperature, labels)
