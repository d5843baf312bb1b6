"""Mixed examples of a batch: of its images, of a map within the network, or of its embeddings."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from fewshot.errors import InputError
from fewshot.losses.similarity import Similarity, similarities
from fewshot.mixup.examples import MixedEmbeddings, MixedExamples, MixedVectors
from fewshot.mixup.metrix import Metrix, Plan
from fewshot.mixup.partners import Partners, all_partners, hardest_partners
from fewshot.mixup.pooled_maps import mixed_pool
from fewshot.models.embedder import Embedder
from fewshot.suggestion import did_you_mean

HARDEST = 3
"""Partners of an example where the network runs on mixed examples, unless `mixup.hardest` says otherwise."""

_ALL = slice(None)


class Mixing:
    """One batch on its way through the network, with what mixing it needs later.

    Images, and maps of a stage before the last, are mixed for the hardest partners alone, and the mixtures
    run through (the rest of) the network: that many further forwards an image. BatchNorm normalises them
    by themselves, and its running statistics stay those of unmixed images, which are what is embedded
    after training. The last map needs no further pass: pooling by average and by flattening commute with
    mixing, the maximum is taken of the mixed maps, and the head runs on the pooled mixtures.

    Args:
        embedder: images to embeddings.
        metrix: what is asked for.
        plan: the draws of this step.
        images: [n, channels, height, width].

    Attributes:
        embeddings: of the images, float32 [n, dim].
    """

    def __init__(self, embedder: Embedder, metrix: Metrix, plan: Plan, images: Tensor) -> None:
        self.embedder = embedder
        self.metrix = metrix
        self.plan = plan
        self.images = images
        last = embedder.stage_names[-1]
        self.stage = (metrix.stage or last) if plan.where == "feature" else None
        self.reruns = plan.where == "input" or self.stage not in (None, last)
        self._maps: Tensor | None = None
        if self.stage is None:
            self.embeddings = embedder(images)
        else:
            self._maps = embedder.up_to(images, self.stage)
            self.embeddings = embedder.from_stage(self._maps, self.stage)

    def partners(self, leads: Tensor, candidate: Tensor, kind: Similarity) -> Partners:
        """The partners of each lead: all candidates, or the most similar ones.

        Args:
            leads: [n, dim], embeddings of what is mixed.
            candidate: bool [n, n], a row for each lead.
            kind: of the similarity.
        """
        count = (self.metrix.hardest or HARDEST) if self.reruns else self.metrix.hardest
        if count is None:
            return all_partners(candidate)
        detached = leads.detach()
        return hardest_partners(similarities(detached, detached, kind), candidate, count)

    def examples(
        self,
        partners: Partners,
        kind: Similarity,
        *,
        anchors: Tensor | None = None,
        members: slice | Tensor = _ALL,
        group: int = 1,
    ) -> MixedExamples:
        """The mixed examples of some images, or of the means of groups of images (prototypes).

        Two groups are mixed image by image, first with first, and the mean is that of the mixtures.

        Args:
            partners: of each lead, image or group.
            kind: the similarity.
            anchors: [anchors, dim], what the mixtures are compared with; None: the leads' own embeddings.
            members: which images of the batch are the leads; int64 [leads * group], group by group.
            group: images of a group; 1 where each lead is an image.
        """
        leads = grouped(self.embeddings[members], group)
        lam = self.plan.lam((len(leads), partners.count), leads.device)
        if self.plan.where == "embedding":
            among = similarities(leads, leads, kind)
            to_anchors = among if anchors is None else similarities(anchors, leads, kind)
            return MixedEmbeddings(to_anchors, among, kind, partners, lam)
        values = (self.images if self._maps is None else self._maps)[members]
        each = partners if group == 1 else of_members(partners, group)
        share = lam.repeat_interleave(group, 0) if isinstance(lam, Tensor) else lam
        if self.reruns:
            made = grouped(self._rerun(values, each, share), group)
            vectors: Callable[[slice], Tensor] = made.__getitem__
            elements = partners.count
        else:
            vectors = self._pooled(values, each, share, group)
            channels, height, width = values.shape[1:]
            positions = 1 if self.embedder.backbone.pool == "average" else height * width
            elements = partners.count * group * channels * positions
        return MixedVectors(leads if anchors is None else anchors, vectors, kind, partners, lam, elements)

    def _pooled(
        self, maps: Tensor, partners: Partners, lam: Tensor | float, group: int
    ) -> Callable[[slice], Tensor]:
        embedder = self.embedder

        def vectors(rows: slice) -> Tensor:
            of_members = slice(rows.start * group, rows.stop * group)
            pooled = mixed_pool(maps, embedder.backbone.pool, partners, lam, of_members)
            made: Tensor = embedder.head(pooled.flatten(0, 1))
            return grouped(made.view(*pooled.shape[:2], -1), group)

        return vectors

    def _rerun(self, values: Tensor, partners: Partners, lam: Tensor | float) -> Tensor:
        """Embeddings [n, partners, dim] of mixed images or maps [n, c, h, w]."""
        assert partners.index is not None
        factor = lam[..., None, None, None] if isinstance(lam, Tensor) else lam
        mixed = factor * values[:, None] + (1 - factor) * values[partners.index]
        flat = mixed.flatten(0, 1).to(values.dtype).contiguous(memory_format=torch.channels_last)
        with self.embedder.statistics_kept():
            made = self.embedder(flat) if self.stage is None else self.embedder.from_stage(flat, self.stage)
        return made.view(len(values), partners.count, -1)


def grouped(values: Tensor, group: int) -> Tensor:
    """Means [n, ...] of groups of consecutive rows of values [n * group, ...]."""
    return values if group == 1 else values.view(-1, group, *values.shape[1:]).mean(1)


def of_members(partners: Partners, group: int) -> Partners:
    """The partners of groups as those of their members: first is mixed with first, second with second."""
    groups = len(partners.allowed)
    index = partners.index
    if index is None:
        index = torch.arange(groups, device=partners.allowed.device).expand(groups, -1)
    place = torch.arange(group, device=index.device)[None, :, None]
    members = (index[:, None] * group + place).flatten(0, 1)  # [groups * group, partners]
    return Partners(members, partners.count, partners.allowed.repeat_interleave(group, 0))


def require_stage(embedder: Embedder, metrix: Metrix) -> None:
    """Refuse a stage that the backbone does not have.

    Raises:
        InputError: there is none of that name.
    """
    names = embedder.stage_names
    if metrix.stage is not None and metrix.stage not in names:
        raise InputError(
            f"mixup.stage={metrix.stage} is no stage of {type(embedder.backbone).__name__}; "
            f"its stages are {', '.join(names)}{did_you_mean(metrix.stage, names)}"
        )
