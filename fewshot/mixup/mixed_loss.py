"""The loss of mixed examples (Metrix, eq. 6): the generic form with labels between 0 and 1."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from fewshot.losses.generic import Form, Totals
from fewshot.losses.pair_loss import Relation
from fewshot.losses.precision import full_precision
from fewshot.mixup.blocks import in_blocks
from fewshot.mixup.examples import MixedExamples
from fewshot.mixup.metrix import PairKind
from fewshot.mixup.partners import meetings


def candidates(pairs: PairKind, labels: Tensor) -> Tensor:
    """Which partners a lead can have by label, bool [n, n], a row for each lead of labels int64 [n]."""
    same = labels[:, None] == labels
    if pairs in ("positive_negative", "anchor_negative"):
        return ~same
    other = ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return same & other if pairs == "positive_positive" else other


def partners_of(relation: Relation, pairs: PairKind) -> Tensor:
    """Which examples are an anchor's partners, bool [anchors, n]."""
    return relation.positive if pairs == "positive_positive" else relation.negative


@full_precision
def loss_of_anchors(
    form: Form,
    mixed: MixedExamples,
    relation: Relation,
    leads_of: Tensor,
    pairs: PairKind,
    most: tuple[int, int],
    anchors: Tensor | int | None = None,
    block: int | None = None,
) -> Tensor:
    """Mean over anchors of tau(sigma+(sum_V y rho+(s(a,v))) + sigma-(sum_V (1-y) rho-(s(a,v)))), 0-d.

    V(a) holds v_lq for the leads l of the anchor and their partners q. Of positive-negative pairs
    the leads are its positives and the partners its negatives, of anchor-negative pairs the anchor itself
    and its negatives: y = lam. Of positive-positive pairs both are its positives (y = 1), of
    negative-negative ones its negatives (y = 0).

    Args:
        form: of the loss.
        mixed: examples that are mixed.
        relation: bool [anchors, n] each: an anchor's positives and negatives.
        leads_of: bool [anchors, n]: an anchor's leads.
        pairs: which V(a) is.
        most: bounds of the number of anchors of a lead, and of leads of an anchor.
        anchors: their number, where the relation has rows that are none; None: all rows.
        block: see `in_blocks`.
    """
    tables = meetings(leads_of, *most)
    partner_of = partners_of(relation, pairs)

    def part(rows: slice) -> Totals:
        meeting = tables.anchors[rows]
        similarity = mixed.similarities(rows, meeting)  # [leads, k, partners]
        there = partner_of[meeting]  # [leads, k, n]
        if mixed.partners.index is not None:
            chosen = mixed.partners.index[rows][:, None].expand(-1, meeting.shape[1], -1)
            there = there.gather(2, chosen)
        there = there & mixed.partners.allowed[rows][:, None]
        return form.accumulate(similarity, *_weights(mixed.lam, rows, there, pairs, similarity.dtype))

    leads = len(tables.anchors)
    each = tables.anchors.shape[1] * mixed.partners.count + mixed.elements
    parts = in_blocks(part, leads, each, block)
    of_anchors = Totals(*(value.flatten()[tables.places] for value in parts))
    return form.loss(form.combine(of_anchors, tables.there), anchors)


@full_precision
def loss_of_mixed_anchors(
    form: Form,
    mixed: MixedExamples,
    labels: Tensor,
    classes: int,
    class_scores: Callable[[Tensor], Tensor],
    block: int | None = None,
) -> Tensor:
    """The loss where a mixed example is the anchor and meets one proxy or prototype of every class, 0-d.

    y_k is lam for the class of the lead plus 1 - lam for that of the partner, and 0 for all others. Mean over
    all mixed examples; 0 if there is none.

    Args:
        form: of the loss.
        mixed: examples whose `anchors` are the proxies.
        labels: int64 [n], of leads and partners, in [0, classes).
        classes: of the proxies.
        class_scores: similarities [..., proxies] to scores [..., classes].
        block: see `in_blocks`.
    """

    each_class = torch.arange(classes, device=labels.device)

    def part(rows: slice) -> Totals:
        scores = class_scores(mixed.similarities(rows, None).mT)  # [leads, partners, classes]
        there = mixed.partners.allowed[rows]  # [leads, partners]
        lam = mixed.lam if isinstance(mixed.lam, float) else mixed.lam[rows]
        first = (labels[rows, None] == each_class)[:, None].to(scores.dtype)
        second = (mixed.partners.of(rows, labels)[..., None] == each_class).to(scores.dtype)
        share = lam[..., None] if isinstance(lam, Tensor) else lam
        y = share * first + (1 - share) * second  # [leads, partners, classes]
        present = there[..., None].to(scores.dtype)
        return form.accumulate(scores, y * present, (1 - y) * present)

    each = 3 * mixed.partners.count * classes + mixed.elements
    totals = in_blocks(part, len(labels), each, block)
    allowed = mixed.partners.allowed
    return form.loss(totals, allowed.sum().clamp(min=1))


@full_precision
def loss_of_mixed_others(
    form: Form, mixed: MixedExamples, labels: Tensor, block: int | None = None
) -> Tensor:
    """The loss where an anchor meets all mixtures of two classes (of prototypes, say), 0-d.

    y is lam for the mixtures that the anchor's class leads, 1 - lam for those whose partner it is, and 0 for
    all others. Mean over the anchors.

    Args:
        form: of the loss.
        mixed: of one lead a class, in the order of classes.
        labels: int64 [anchors], classes of the anchors.
        block: see `in_blocks`.
    """
    classes = torch.arange(len(mixed.partners.allowed), device=labels.device)

    def part(rows: slice) -> Totals:
        scores = mixed.similarities(rows, None)  # [leads, anchors, partners]
        leads = (labels == classes[rows, None])[..., None]  # [leads, anchors, 1]
        follows = labels[:, None] == mixed.partners.of(rows, classes).expand(len(leads), -1)[:, None]
        share = mixed.lam[rows][:, None] if isinstance(mixed.lam, Tensor) else mixed.lam
        y = (share * leads + (1 - share) * follows).to(scores.dtype)
        there = mixed.partners.allowed[rows][:, None]
        return form.accumulate(scores, y * there, (1 - y) * there)

    parts = in_blocks(part, len(classes), len(labels) * mixed.partners.count + mixed.elements, block)
    of_anchors = Totals(*(values.mT for values in parts))  # [anchors, leads]
    return form.loss(form.combine(of_anchors, torch.ones_like(of_anchors.positive, dtype=torch.bool)))


def _weights(
    lam: Tensor | float, rows: slice, there: Tensor, pairs: PairKind, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """y and 1 - y of the mixed examples of some leads [leads, k, partners], 0 where there is none."""
    if pairs == "positive_positive":
        return there, torch.zeros_like(there)
    if pairs == "negative_negative":
        return torch.zeros_like(there), there
    share = lam if isinstance(lam, float) else lam[rows][:, None]
    present = there.to(dtype)
    return present * share, present * (1 - share)
