"""Neighbourhood component analysis on plain batches (Laenen & Bertinetto 2021, arXiv 2012.09831)."""

from __future__ import annotations

from torch import Tensor

from fewshot.losses.arguments import above_zero
from fewshot.losses.pair_loss import PairLoss
from fewshot.losses.similarity import Similarity
from fewshot.losses.softmax_form import softmax_form


class NCA(PairLoss):
    """Mean over i of -log of the share that i's own class has in the weights of the other images.

    loss_i = -log(sum_{j != i, y_j = y_i} w_ij / sum_{j != i} w_ij), w_ij = exp(s_ij / temperature), with
    s = -||z_i - z_j||^2 unless another similarity is chosen. An image without another one of its class in
    the batch contributes 0 and counts in the mean.

    Args:
        temperature: divides the similarities.
        similarity: of embeddings.
        positive_in_denominator: False leaves the own class out of the denominator (Metrix's table prints
            this as an option); the loss can then be below 0.

    Raises:
        InputError: a temperature not above 0.
    """

    def __init__(
        self,
        temperature: float = 0.9,
        similarity: Similarity = "squared_euclidean",
        positive_in_denominator: bool = True,
    ) -> None:
        above_zero(temperature=temperature)
        form = softmax_form(temperature, positive_in_denominator=positive_in_denominator)
        super().__init__(form, similarity)


def nca(embeddings: Tensor, labels: Tensor, temperature: float = 0.9) -> Tensor:
    """`NCA` of embeddings [m, dim] with labels int64 [m], a 0-d tensor."""
    loss: Tensor = NCA(temperature)(embeddings, labels)
    return loss
