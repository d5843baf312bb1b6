"""Triplet hinge with three ways of mining (FaceNet, arXiv 1503.03832; Hermans et al., arXiv 1703.07737)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from fewshot.losses.arguments import above_zero
from fewshot.losses.pair_loss import Relation
from fewshot.losses.pairs import compared, unit_distances
from fewshot.losses.precision import full_precision

Mining = Literal["all", "hard", "semihard"]
TripletMean = Literal["nonzero", "all"]


@full_precision
def triplet(
    embeddings: Tensor,
    labels: Tensor,
    others: Tensor | None = None,
    other_labels: Tensor | None = None,
    self_index: Tensor | None = None,
    *,
    margin: float = 0.2,
    mining: Mining = "all",
    reduction: TripletMean = "nonzero",
) -> Tensor:
    """Mean over the mined triplets of max(0, d_ap - d_an + margin).

    d = sqrt(||a - b||^2 + 1e-6) of unit vectors (FaceNet squares it). It equals pytorch-metric-learning's
    TripletMarginLoss(margin), which averages over "nonzero", up to the 1e-6: "all" without a miner, "hard"
    with BatchHardMiner, "semihard" with TripletMarginMiner(margin, "semihard").

    Args:
        embeddings, labels, others, other_labels, self_index: see `compared`.
        margin: of distances.
        mining: "all" triplets; "hard", the farthest positive and the nearest negative of each anchor
            (Hermans et al., eq. 5; equally far ones share the gradient); "semihard", all with
            d_ap < d_an < d_ap + margin.
        reduction: "nonzero" averages over the mined triplets whose hinge is above 0, "all" over all mined.

    Returns:
        0-d tensor; 0 where there is no triplet.

    Raises:
        ValueError: see `compared`.
    """
    others, relation = compared(embeddings, labels, others, other_labels, self_index)
    distances = unit_distances(embeddings, others)  # [m, n]
    if mining == "hard":
        hinges, mined = _hardest(distances, relation, margin)  # [m]
        count = torch.count_nonzero(mined if reduction == "all" else hinges)
        return hinges.sum() / count.clamp(min=1)
    weights, active = _active_triplets(distances.detach(), relation, margin, mining == "semihard")
    active = active.to(distances.dtype)
    total = (weights * distances).sum() + margin * active
    if mining == "all" and reduction == "all":
        active = (relation.positive.sum(1) * relation.negative.sum(1)).sum()
    return total / active.clamp(min=1)


def _hardest(distances: Tensor, relation: Relation, margin: float) -> tuple[Tensor, Tensor]:
    """The hinge of each anchor's hardest triplet, and whether it has a triplet at all; [m] each."""
    farthest = distances.masked_fill(~relation.positive, 0).amax(1)
    nearest = distances.masked_fill(~relation.negative, torch.inf).amin(1)
    mined = relation.positive.any(1) & relation.negative.any(1)
    return (farthest - nearest + margin).clamp(min=0).masked_fill(~mined, 0), mined


@torch.no_grad()
def _active_triplets(
    distances: Tensor, relation: Relation, margin: float, semihard: bool
) -> tuple[Tensor, Tensor]:
    """How the sum of the hinges of all active triplets depends on each distance.

    The sum of d_ap - d_an + margin over active triplets (a, p, n) is linear in the distances: each counts as
    often as it occurs in such a triplet. In an anchor's sorted negatives those active with a positive are a
    run, which a binary search finds, so that no triplet is ever written down.

    Args:
        distances: [m, n].
        relation: bool [m, n] each.
        margin: a triplet is active if d_an < d_ap + margin,
        semihard: and, if this is set, d_an > d_ap.

    Returns:
        weights [m, n], in how many active triplets the pair is, negated for negatives; their number, int64.
    """
    nearest_first, order = distances.masked_fill(~relation.negative, torch.inf).sort(1)
    counts = _rank(nearest_first, distances + margin, relation.positive, right=False)
    occurrences = _occurrences(counts)  # of the places where runs end
    if semihard:
        starts = _rank(nearest_first, distances, relation.positive, right=True).minimum(counts)
        occurrences = occurrences - _occurrences(starts)
        counts = counts - starts
    # The negative at place j is in as many runs as end after j, less those that also start after j.
    of_negatives = occurrences.flip(1).cumsum(1).flip(1)[:, 1:]
    weights = counts.scatter_add(1, order, -of_negatives)
    return weights.to(distances.dtype), counts.sum()


def _rank(ascending: Tensor, values: Tensor, wanted: Tensor, right: bool) -> Tensor:
    """How many of a row's `ascending` lie below a value (`right`: or at it), int64 [m, n]; 0 if unwanted."""
    # Searching for -inf is what makes unwanted cells cheap: all take the same path.
    return torch.searchsorted(ascending, values.masked_fill(~wanted, -torch.inf), right=right)


def _occurrences(places: Tensor) -> Tensor:
    """How often each place 0..n occurs in a row; int64 [m, n + 1]."""
    counts = places.new_zeros(len(places), places.shape[1] + 1)
    return counts.scatter_add_(1, places, torch.ones_like(places))


class Triplet(nn.Module):
    """`triplet` with its margin, mining and reduction.

    Raises:
        InputError: a margin that is not above 0.
    """

    kind: ClassVar[Literal["episodic", "batch"]] = "batch"
    takes_others: ClassVar[bool] = True

    def __init__(
        self, margin: float = 0.2, mining: Mining = "all", reduction: TripletMean = "nonzero"
    ) -> None:
        super().__init__()
        self.margin = above_zero(margin=margin)
        self.mining: Mining = mining
        self.reduction: TripletMean = reduction

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        others: Tensor | None = None,
        other_labels: Tensor | None = None,
        self_index: Tensor | None = None,
    ) -> Tensor:
        return triplet(
            *(embeddings, labels, others, other_labels, self_index),
            margin=self.margin,
            mining=self.mining,
            reduction=self.reduction,
        )
