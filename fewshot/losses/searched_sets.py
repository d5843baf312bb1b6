"""Which points of an episode a neighbour loss looks at, and where it searches their neighbours."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from fewshot.losses.episode import as_episodes, class_labels

Variant = Literal["full", "support", "query", "query_prototypes"]


class SearchedSets(NamedTuple):
    """Points [episodes, m, dim], labels [m] and, unless they search among themselves, targets with labels."""

    points: Tensor
    labels: Tensor
    targets: Tensor | None = None
    target_labels: Tensor | None = None


def searched_sets(support: Tensor, query: Tensor, variant: Variant) -> SearchedSets:
    """Cuts an episode into points and targets.

    Args:
        support: [episodes, ways, shots, dim], or [ways, shots, dim].
        query: [episodes, ways, queries, dim], or [ways, queries, dim].
        variant: `full` supports and queries among themselves, `support` supports among themselves, `query`
            queries against supports, `query_prototypes` queries against the mean support of each class.
    """
    support, query = as_episodes(support, query)
    supports, support_labels = support.flatten(1, 2), class_labels(support)
    queries, query_labels = query.flatten(1, 2), class_labels(query)
    if variant == "support":
        return SearchedSets(supports, support_labels)
    if variant == "query":
        return SearchedSets(queries, query_labels, supports, support_labels)
    if variant == "query_prototypes":
        ways = torch.arange(support.shape[1], device=support.device)
        return SearchedSets(queries, query_labels, support.mean(2), ways)
    if variant == "full":
        return SearchedSets(torch.cat((supports, queries), 1), torch.cat((support_labels, query_labels)))
    raise ValueError(f"no variant {variant!r}")
