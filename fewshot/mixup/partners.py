"""Which examples are mixed with which, and which anchors meet the mixture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True)
class Partners:
    """The partners of each example of a batch, its lead: the mixed examples are v_lq, q a partner of l.

    Attributes:
        index: int64 [leads, partners], or None where every example is a partner of every lead in order.
        count: partners of a lead.
        allowed: bool [leads, partners]; where False, there is no mixed example (but its place is computed).
    """

    index: Tensor | None
    count: int
    allowed: Tensor

    def of(self, rows: slice, values: Tensor) -> Tensor:
        """Values [..., leads, n] or [n] of every example as those of the partners of some leads.

        Args:
            rows: the leads.
            values: [len(rows), n] (a row for each lead), or [n] (the same for all).

        Returns:
            [len(rows), partners].
        """
        if self.index is None:
            return values
        index = self.index[rows]
        return values[index] if values.ndim == 1 else values.gather(-1, index)


def all_partners(candidate: Tensor) -> Partners:
    """Every candidate of a lead: bool [n, n], a row for each lead."""
    return Partners(None, candidate.shape[1], candidate)


@torch.no_grad()
def hardest_partners(similarity: Tensor, candidate: Tensor, count: int) -> Partners:
    """The `count` candidates of each lead that are most similar to it.

    Args:
        similarity: [n, n].
        candidate: bool [n, n], a row for each lead.
        count: at most n; leads with fewer candidates have fewer partners.
    """
    count = min(count, similarity.shape[1])
    index = similarity.masked_fill(~candidate, -torch.inf).topk(count, dim=1).indices
    return Partners(index, count, candidate.gather(1, index))


class Meetings(NamedTuple):
    """Which anchors meet the mixed examples of which leads, as two padded tables of the same relation.

    Attributes:
        anchors: int64 [leads, most], the anchors that meet a lead's mixed examples, and others as padding.
        places: int64 [anchors, most_leads], where in the flattened `anchors` an anchor stands.
        there: bool [anchors, most_leads], False for padding.
    """

    anchors: Tensor
    places: Tensor
    there: Tensor


def meetings(meets: Tensor, most_anchors: int, most_leads: int) -> Meetings:
    """The tables of a relation.

    Args:
        meets: bool [anchors, leads].
        most_anchors: at least the largest number of anchors of a lead; the tables are padded to it.
        most_leads: likewise of leads of an anchor.
    """
    anchors, _ = _first_true(meets.mT, most_anchors)
    leads, there = _first_true(meets, most_leads)
    slot = (meets.cumsum(0) - 1).gather(1, leads)  # [anchors, most_leads]: which of a lead's anchors it is
    places = (leads * anchors.shape[1] + slot).clamp(min=0)
    return Meetings(anchors, places.masked_fill(~there, 0), there)


def _first_true(mask: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """The column numbers of the first `most` True of each row [rows, most], ascending, and which are real."""
    columns = mask.shape[1]
    most = min(max(most, 1), columns)
    order = torch.arange(columns, 0, -1, device=mask.device)
    found = (mask * order).topk(most, dim=1)
    return found.indices, found.values > 0
