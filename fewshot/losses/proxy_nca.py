"""ProxyNCA (Movshovitz-Attias et al. 2017, arXiv 1703.07464)."""

from __future__ import annotations

from fewshot.losses.arguments import above_zero
from fewshot.losses.proxy_loss import ProxyLoss, proxies
from fewshot.losses.softmax_form import softmax_form


class ProxyNCA(ProxyLoss):
    """-log( exp(-d^2(a, w_y)/T) / sum_{k != y} exp(-d^2(a, w_k)/T) ), d^2 = 2 - 2 s of unit vectors.

    The positive is not in the denominator (eq. 4), so the loss can be below 0. pytorch-metric-learning's
    ProxyNCALoss has it there: that is `ProxyNCAPlusPlus` here. With one class there is no denominator: 0.

    Args:
        classes: of the training set; labels are in [0, classes).
        dim: of the embeddings.
        temperature: T, divides squared distances; 1 in the paper.
        lr_scale: factor of the optimizer's rate for the proxies; 100 in Metrix.
        seed: of the proxies.

    Raises:
        InputError: no class, no dimension, a temperature or a rate's factor not above 0.
    """

    def __init__(
        self, classes: int, dim: int, temperature: float = 1.0, lr_scale: float = 100.0, seed: int = 0
    ) -> None:
        # exp(-d^2/T) is exp(2 s/T) up to a factor that cancels.
        form = softmax_form(above_zero(temperature=temperature) / 2, positive_in_denominator=False)
        super().__init__(form, classes, proxies(classes, dim, seed), lr_scale)
