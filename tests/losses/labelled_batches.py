"""Batches with labels, others and awkward cases that the tests of the pair losses share."""

from __future__ import annotations

import torch
from naive_metric_losses import Given
from torch import Tensor

from fewshot.randomness import generator


def batch(m: int = 16, dim: int = 6, classes: int = 5) -> tuple[Tensor, Tensor]:
    """Overlapping classes, some with one image; every class but the last two has at least two."""
    draw = generator(0, "test pairs", m)
    labels = torch.arange(m) % classes
    labels[labels == classes - 1] = 100 + torch.arange(int((labels == classes - 1).sum()))
    means = torch.randn(m, dim, generator=draw, dtype=torch.float64)[labels % classes]
    return means + torch.randn(m, dim, generator=draw, dtype=torch.float64), labels


def others_of(points: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Others of their own: the anchors in another order, more images, and rows that are not there."""
    more, more_labels = batch(11, points.shape[1])
    order = torch.randperm(len(labels), generator=generator(0, "test others", 0))
    others = torch.cat((more, points[order], more[:3]))
    return others, torch.cat((more_labels, labels[order], torch.full((3,), -1))), order.argsort() + 11


def as_lists(
    points: Tensor,
    labels: Tensor,
    others: Tensor | None = None,
    other_labels: Tensor | None = None,
    itself: Tensor | None = None,
) -> Given:
    if others is None or other_labels is None:
        rows: list[int | None] = list(range(len(labels)))
        return Given(points.tolist(), labels.tolist(), points.tolist(), labels.tolist(), rows)
    rows = [None] * len(labels) if itself is None else itself.tolist()
    return Given(points.tolist(), labels.tolist(), others.tolist(), other_labels.tolist(), rows)


def degenerate() -> dict[str, tuple[Tensor, Tensor]]:
    """float32, float16 and bfloat16 batches at the edge of what a loss can be given."""
    points, labels = batch()
    points = points.float()
    one_each = torch.arange(len(labels))
    return {
        "one class": (points, torch.zeros_like(labels)),
        "one image a class": (points, one_each),
        "one image": (points[:1], labels[:1]),
        "two of one class": (points[:2], torch.tensor([3, 3])),
        "all equal": (points[:1].expand(16, -1).clone(), labels),
        "all zero": (torch.zeros_like(points), labels),
        "duplicates": (points[:4].repeat(4, 1), labels),
        "duplicates of one class": (points[:5].repeat(3, 1), labels[:5].repeat(3)),
        "opposite": (torch.cat((points[:8], -points[:8])), torch.arange(8).repeat(2)),
        "tiny": (1e-8 * points, labels),
        "large": (1e6 * points, labels),
        "bfloat16": (1e9 * points.bfloat16(), labels),
        "float16": (points.half().sign() * 65504, labels),
    }
