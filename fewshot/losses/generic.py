"""The generic form of metric-learning losses (Venkataramanan et al. 2022, Metrix, arXiv 2106.04990, eq. 1).

    l(a) = tau( sigma+( sum_p y_p rho+(s(a,p)) ) + sigma-( sum_n (1-y_n) rho-(s(a,n)) ) )

over the labelled examples of an anchor a, y = 1 for positives and 0 for negatives. A loss of this form is a
`Form`: its tau, sigma and rho. Clean and mixed losses are the same form with other weights: mixing
gives examples with y between 0 and 1, which stand on both sides.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

Reduction = Literal["sum", "mean", "nonzero"]
_NOTHING = 1e-30
"""A share of a sum that is as good as 0."""


@dataclass(frozen=True)
class Half:
    """sigma and rho of one side.

    Attributes:
        rho: a function of similarities; for the logarithmic sigmas its logarithm.
        sigma: "sum" is scale x, "log1p" scale log(1 + x), "log" scale log x.
        scale: the factor of sigma.
    """

    rho: Callable[[Tensor], Tensor]
    sigma: Literal["sum", "log1p", "log"]
    scale: float = 1.0

    def accumulate(self, similarities: Tensor, weights: Tensor) -> Tensor:
        """The weighted sum of rho over the last dimension, or its logarithm (-inf of an empty sum).

        Args:
            similarities: [..., n].
            weights: [..., n], y or 1 - y, bool where it is only 0 and 1; 0 for what is not there.

        Returns:
            [...].
        """
        return self.total(self.rho(similarities), weights)

    def total(self, values: Tensor, weights: Tensor) -> Tensor:
        """As `accumulate`, of the values [..., n] of rho."""
        return (weights * values).sum(-1) if self.sigma == "sum" else log_sum(values, weights)

    def combine(self, parts: Tensor, present: Tensor) -> Tensor:
        """One total of several parts of an anchor's examples.

        Args:
            parts: [..., n], each made by `accumulate`.
            present: bool [..., n].

        Returns:
            [...].
        """
        if self.sigma == "sum":
            return parts.masked_fill(~present, 0).sum(-1)
        return log_sum(parts, present & (parts > -math.inf))

    def finish(self, total: Tensor) -> Tensor:
        """sigma of a total; 0 where the sum is empty."""
        if self.sigma == "log":
            return self.scale * total.masked_fill(total == -math.inf, 0)
        return self.scale * (softplus(total) if self.sigma == "log1p" else total)


class Totals(NamedTuple):
    """What an anchor's examples sum to on either side, all [...]."""

    positive: Tensor
    negative: Tensor
    positive_pairs: Tensor
    """How many examples count on that side."""
    negative_pairs: Tensor


@dataclass(frozen=True)
class Form:
    """A loss of the generic form.

    Attributes:
        positive, negative: the two sides.
        tau: "identity", "hinge" max(0, x) or "softplus" log(1 + e^x).
        reduction: of sums over examples (sigma "sum" on both sides and tau "identity" only, but for
            "sum"): "sum" is the paper's, summed over an anchor's examples and averaged over anchors; "mean"
            averages over an anchor's examples; "nonzero" averages over all examples of all anchors whose
            rho is not 0, either side by itself (the public code).
        average: over which anchors the mean is taken: "all", or those with a "positive" example; with tau
            "identity" that choice is the positive side's, the negative side is averaged over all.
    """

    positive: Half
    negative: Half
    tau: Literal["identity", "hinge", "softplus"] = "identity"
    reduction: Reduction = "sum"
    average: Literal["all", "positive"] = "all"

    def accumulate(self, similarities: Tensor, positive: Tensor, negative: Tensor) -> Totals:
        """Totals [...] of examples with similarities [..., n] and weights y and 1 - y on either side.

        The weights [..., n] carry no gradient; an example that is not there has 0 in both.
        """
        values = self.positive.rho(similarities)
        return Totals(
            self.positive.total(values, positive),
            self.negative.total(values if self.alike else self.negative.rho(similarities), negative),
            self._pairs(self.positive, similarities, positive),
            self._pairs(self.negative, similarities, negative),
        )

    def combine(self, parts: Totals, present: Tensor) -> Totals:
        """One total for each anchor of parts [..., n], those that are `present`."""
        return Totals(
            self.positive.combine(parts.positive, present),
            self.negative.combine(parts.negative, present),
            (parts.positive_pairs * present).sum(-1),
            (parts.negative_pairs * present).sum(-1),
        )

    def loss(self, totals: Totals, anchors: Tensor | int | None = None) -> Tensor:
        """The mean over all anchors, a 0-d tensor.

        Args:
            totals: [...], of each anchor.
            anchors: their number, where `totals` holds rows that are none; None: all rows.

        An anchor whose logarithm would be that of an empty sum contributes 0 (sigma "log" on either side);
        with other sigmas a side without examples contributes 0 by itself.
        """
        if self.reduction == "nonzero":
            return sum_of_means(totals, self.positive.scale, self.negative.scale)
        positive, negative = self.positive.finish(totals.positive), self.negative.finish(totals.negative)
        if self.reduction == "mean":
            positive = positive / totals.positive_pairs.clamp(min=1)
            negative = negative / totals.negative_pairs.clamp(min=1)
        has_positive = totals.positive_pairs > 0
        everyone = max(1, has_positive.numel()) if anchors is None else anchors
        counted = has_positive.sum().clamp(min=1) if self.average == "positive" else everyone
        if self.tau == "identity" and not self._logarithmic:
            return positive.sum() / counted + negative.sum() / everyone
        value = positive + negative
        if self.tau != "identity":
            value = F.relu(value) if self.tau == "hinge" else softplus(value)
        if self._logarithmic:
            there = torch.ones_like(has_positive)
            if self.positive.sigma == "log":
                there = there & has_positive
            if self.negative.sigma == "log":
                there = there & (totals.negative_pairs > 0)
            value = value.masked_fill(~there, 0)
        return value.sum() / counted

    @property
    def alike(self) -> bool:
        """Whether an example counts alike on both sides but for its weight, as in a cross-entropy.

        With equal weights y on one side and 1 - y on the other the loss is then a constant.
        """
        return self.positive.rho is self.negative.rho

    @property
    def _logarithmic(self) -> bool:
        return "log" in (self.positive.sigma, self.negative.sigma)

    def _pairs(self, half: Half, similarities: Tensor, weights: Tensor) -> Tensor:
        counted = weights if weights.dtype == torch.bool else weights > 0
        if self.reduction == "nonzero":
            counted = counted & (half.rho(similarities.detach()) != 0)
        return counted.sum(-1)


def sum_of_means(totals: Totals, positive_scale: float, negative_scale: float) -> Tensor:
    """Mean of the positives' sums over all pairs that count, and that of the negatives, added."""
    return positive_scale * totals.positive.sum() / totals.positive_pairs.sum().clamp(
        min=1
    ) + negative_scale * totals.negative.sum() / totals.negative_pairs.sum().clamp(min=1)


def softplus(value: Tensor) -> Tensor:
    """log(1 + e^x) to the last bit of float64; torch's own default returns x from 20 on, 2e-9 too little."""
    return F.softplus(value, threshold=40)


def log_sum(logits: Tensor, weights: Tensor) -> Tensor:
    """log sum_j w_j exp(x_j) over the last dimension; -inf, with gradient 0, where all weights are 0.

    Args:
        logits: [..., n], finite where their weight is not 0.
        weights: [..., n], at least 0, or bool; they carry no gradient.

    Returns:
        [...].
    """
    if not logits.numel():
        return logits.sum(-1).fill_(-math.inf)
    if logits.shape[-1] == 1:
        only = logits if weights.dtype == torch.bool else logits + weights.log()
        return only.masked_fill(weights == 0, -math.inf).squeeze(-1)
    total: Tensor = _LogSum.apply(logits, weights)
    return total


class _LogSum(torch.autograd.Function):
    """One pass in either direction; torch's logsumexp has gradient NaN where every entry is -inf."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, weights: Tensor) -> Tensor:
        hard = weights.dtype == torch.bool
        floor = torch.finfo(logits.dtype).min
        masked = torch.where(weights if hard else weights > 0, logits, floor)
        top = masked.amax(-1, keepdim=True)
        # exp of numbers that underflow takes a processor up to 30 times as long; softmax is spared that. What
        # follows is spared it too, since shares too small to count are 0.
        shares = F.threshold(masked.softmax(-1), _NOTHING, 0, inplace=True)
        total = top - shares.amax(-1, keepdim=True).log()  # the largest share is 1 / sum_j exp(x_j - top)
        empty = top == floor
        if not hard:
            shares *= weights
            weight = shares.sum(-1, keepdim=True).masked_fill_(empty, 1)
            shares /= weight
            total += weight.log()
        ctx.save_for_backward(shares, empty)
        total.masked_fill_(empty, -math.inf)
        return total.squeeze(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        shares, empty = ctx.saved_tensors
        # What is made of a logarithm of 0 may have the gradient NaN.
        return gradient[..., None].masked_fill(empty, 0) * shares, None
