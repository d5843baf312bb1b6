"""Mixed examples and their similarities to anchors: in closed form, or from mixed vectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch.nn.functional as F
from torch import Tensor

from fewshot.losses.similarity import Similarity, mixed_similarities, similarities
from fewshot.mixup.partners import Partners


class MixedExamples(Protocol):
    """The mixed examples v_lq = lam x_l + (1 - lam) x_q of a batch's leads l and their partners q.

    Attributes:
        partners: of each lead.
        lam: a number, or [leads, partners].
        elements: numbers that a lead's mixed examples take, for the size of blocks.
    """

    @property
    def partners(self) -> Partners: ...

    @property
    def lam(self) -> Tensor | float: ...

    @property
    def elements(self) -> int: ...

    def similarities(self, rows: slice, anchors: Tensor | None) -> Tensor:
        """s(a, v_lq) of some leads.

        Args:
            rows: the leads.
            anchors: int64 [len(rows), k], which anchors each lead's examples meet; None: all of them.

        Returns:
            [len(rows), k, partners].
        """
        ...


@dataclass(frozen=True)
class MixedEmbeddings:
    """Mixed embeddings, known by similarities alone.

    Attributes:
        to_anchors: [anchors, n], s(a, x).
        among: [n, n], s(x, x').
        kind: of both.
        partners, lam: see `MixedExamples`.
    """

    to_anchors: Tensor
    among: Tensor
    kind: Similarity
    partners: Partners
    lam: Tensor | float

    @property
    def elements(self) -> int:
        return self.partners.count

    def similarities(self, rows: slice, anchors: Tensor | None) -> Tensor:
        index = self.partners.index
        if anchors is None:
            lead = self.to_anchors[:, rows].mT[..., None]  # [leads, anchors, 1]
            partner = self.to_anchors[None]  # [1, anchors, n]
        else:
            lead = self.to_anchors.mT[rows].gather(1, anchors)[..., None]  # [leads, k, 1]
            partner = F.embedding(anchors, self.to_anchors)  # [leads, k, n]
        between = self.among[rows]  # [leads, n]
        if index is not None:
            chosen = index[rows][:, None].expand(-1, lead.shape[1], -1)
            partner = partner.expand(len(chosen), -1, -1).gather(2, chosen)
            between = between.gather(1, index[rows])
        lam = self.lam if isinstance(self.lam, float) else self.lam[rows][:, None]
        return mixed_similarities(lead, partner, between[:, None], lam, self.kind)


@dataclass(frozen=True)
class MixedVectors:
    """Mixed examples as vectors, which are made a block of leads at a time.

    Attributes:
        anchors: [anchors, dim].
        vectors: leads -> [len(leads), partners, dim].
        kind: the similarity.
        partners, lam: see `MixedExamples`.
        elements: see `MixedExamples`.
    """

    anchors: Tensor
    vectors: Callable[[slice], Tensor]
    kind: Similarity
    partners: Partners
    lam: Tensor | float
    elements: int

    def similarities(self, rows: slice, anchors: Tensor | None) -> Tensor:
        vectors = self.vectors(rows)
        if anchors is None:
            return similarities(self.anchors.expand(len(vectors), -1, -1), vectors, self.kind)
        return similarities(F.embedding(anchors, self.anchors), vectors, self.kind)
