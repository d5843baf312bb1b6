"""ProxyNCA++ (Teh et al. 2020, arXiv 2004.01113)."""

from __future__ import annotations

from fewshot.losses.arguments import above_zero
from fewshot.losses.proxy_loss import ProxyLoss, proxies
from fewshot.losses.softmax_form import softmax_form


class ProxyNCAPlusPlus(ProxyLoss):
    """-log( exp(-d^2(a, w_y)/T) / sum_k exp(-d^2(a, w_k)/T) ), d^2 = 2 - 2 s of unit vectors (eq. 5).

    It equals pytorch-metric-learning's ProxyNCALoss(softmax_scale=1/T).

    Args:
        classes: of the training set; labels are in [0, classes).
        dim: of the embeddings.
        temperature: T, divides squared distances; 1/9 in the paper.
        lr_scale: factor of the optimizer's rate for the proxies; 100 in Metrix.
        seed: of the proxies.

    Raises:
        InputError: no class, no dimension, a temperature or a rate's factor not above 0.
    """

    def __init__(
        self, classes: int, dim: int, temperature: float = 0.1111, lr_scale: float = 100.0, seed: int = 0
    ) -> None:
        form = softmax_form(above_zero(temperature=temperature) / 2)
        super().__init__(form, classes, proxies(classes, dim, seed), lr_scale)
