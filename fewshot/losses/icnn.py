"""ICNN, the inter and intra class nearest neighbours loss (Mendez-Ruiz et al. 2023, arXiv 2305.09062)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from fewshot.errors import InputError
from fewshot.losses.arguments import at_least_one
from fewshot.losses.icnn_score import closeness, purity, relative_distances, steadiness
from fewshot.losses.neighbours import Neighbours, nearest_neighbours
from fewshot.losses.precision import full_precision
from fewshot.losses.searched_sets import SearchedSets, Variant, searched_sets


@full_precision
def icnn(
    embeddings: Tensor, labels: Tensor, k: int = 4, inspected: int | None = None, omega: bool = False
) -> Tensor:
    """-ln S of a set whose points search their neighbours among themselves, the mean over episodes.

    S is the mean of lambda (`icnn_score.closeness`), gamma (`icnn_score.purity`) and, where asked for, omega
    (`icnn_score.steadiness`, unbiased). The embeddings are not normalised; their common scale leaves S alone.

    Args:
        embeddings: [m, dim] or [episodes, m, dim], m at least 2.
        labels: int64 [m], or [episodes, m].
        k: neighbours of each point, at most the m - 1 there are.
        inspected: R, how many neighbours the nearest enemy is looked for among; None: all.
        omega: add the variance term.

    Returns:
        0-d tensor.

    Raises:
        ValueError: shapes that do not fit, fewer than 2 points, or inspected below k.
    """
    sets = embeddings[None] if embeddings.ndim == 2 else embeddings
    if sets.ndim != 3 or labels.shape not in (sets.shape[:2], sets.shape[1:2]):
        raise ValueError(
            "expected embeddings [m, dim] or [episodes, m, dim] and labels [m] or [episodes, m]; "
            f"got {list(embeddings.shape)} and {list(labels.shape)}"
        )
    found = nearest_neighbours(sets, labels, k=k, inspected=inspected)
    return -_score(found, purity(found), omega, unbiased=True).log().mean()


class ICNN(nn.Module):
    """ICNN of an episode, in each variant of the paper's code.

    | variant | points | their neighbours are searched among | inspected=None |
    |---|---|---|---|
    | full (the paper's ICNN) | supports and queries | themselves | all |
    | support | supports | themselves | k + 1 |
    | query | queries | supports | k + 1 |
    | query_prototypes | queries | class means of the supports | k + 1 |

    k and inspected are clipped to the targets there are. Against prototypes, one a class, gamma is left out.

    Args:
        variant: of the table.
        k: neighbours of each point.
        inspected: R, how many neighbours the nearest enemy is looked for among. None: by the table.
            A number beyond the size of the set means all.
        omega: add the variance term omega to the score.
        unbiased: variances divided by m k - 1, not m k.
        official: repeat the authors' public code (maumruiz/FSL-Loss): R = shots + queries in `full`; the
            query variants lose their nearest target; where k + 2 reaches the number of targets (the point
            counted), k becomes that number - 2 and gamma 1; elsewhere gamma counts against prototypes too.

    Raises:
        InputError: k below 1, inspected below k; in use, official with fewer than 3 targets.
    """

    kind: ClassVar[Literal["episodic", "batch"]] = "episodic"

    def __init__(
        self,
        variant: Variant = "full",
        k: int = 4,
        inspected: int | None = None,
        omega: bool = False,
        unbiased: bool = True,
        official: bool = False,
    ) -> None:
        super().__init__()
        self.variant = variant
        self.k = at_least_one(k=k)
        if inspected is not None and inspected < k:
            raise InputError(f"inspected={inspected} of the loss must be at least k={k}, or null")
        self.inspected = inspected
        self.omega = omega
        self.unbiased = unbiased
        self.official = official

    def forward(self, support: Tensor, query: Tensor) -> Tensor:
        return -self.score(support, query).log().mean()

    @full_precision
    def of_set(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The loss of a plain batch, which variant `full` does not tell from an episode: see `icnn`.

        Raises:
            InputError: another variant, or official=true: both need to know the queries.
        """
        if self.variant != "full" or self.official:
            choice = "official=true" if self.official else f"variant={self.variant}"
            raise InputError(f"loss=icnn loss.{choice} needs episodes; for plain batches use variant=full")
        found = nearest_neighbours(embeddings[None], labels[None], k=self.k, inspected=self.inspected)
        return -_score(found, purity(found), self.omega, self.unbiased).log().mean()

    @full_precision
    def score(self, support: Tensor, query: Tensor) -> Tensor:
        """S in (0, 1] of each episode.

        Args:
            support: [episodes, ways, shots, dim], or [ways, shots, dim].
            query: [episodes, ways, queries, dim], or [ways, queries, dim].

        Returns:
            [episodes].
        """
        sets = searched_sets(support, query, self.variant)
        if self.official:
            return self._official_score(sets, images_a_class=support.shape[-2] + query.shape[-2])
        inspected = self.k + 1 if self.inspected is None and self.variant != "full" else self.inspected
        found = nearest_neighbours(*sets, k=self.k, inspected=inspected)
        measured = None if self.variant == "query_prototypes" else purity(found)
        return _score(found, measured, self.omega, self.unbiased)

    def _official_score(self, sets: SearchedSets, images_a_class: int) -> Tensor:
        among = sets.points if sets.targets is None else sets.targets
        clipped = self.k + 2 >= among.shape[1]
        k = among.shape[1] - 2 if clipped else self.k
        if k < 1:
            raise InputError(
                f"official=true of the loss needs 3 targets an episode, this one has {among.shape[1]}: "
                "more ways or shots, or official=false"
            )
        inspected = self.inspected or (max(images_a_class, k) if self.variant == "full" else k + 1)
        found = nearest_neighbours(*sets, k=k, inspected=inspected, skip=int(sets.targets is not None))
        measured = purity(found)
        return _score(found, torch.ones_like(measured) if clipped else measured, self.omega, self.unbiased)


def _score(found: Neighbours, gamma: Tensor | None, omega: bool, unbiased: bool) -> Tensor:
    """The mean of the parts of the score that are wanted, [episodes]."""
    friends, enemies = relative_distances(found)
    parts = [closeness(friends, enemies, found.same)]
    if gamma is not None:
        parts.append(gamma)
    if omega:
        parts.append(steadiness(friends, enemies, unbiased))
    return torch.stack(parts).mean(0)
