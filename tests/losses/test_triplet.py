"""The triplet hinge: its sums without triplets against loops over triplets."""

from __future__ import annotations

import math
from typing import get_args

import naive_metric_losses as naive
import pytest
import torch
from labelled_batches import as_lists, batch, others_of
from torch import Tensor

from fewshot.losses import Triplet
from fewshot.losses.triplet import Mining, TripletMean

minings = pytest.mark.parametrize("mining", get_args(Mining))
means = pytest.mark.parametrize("mean", get_args(TripletMean))


def on_circle(*degrees: float) -> Tensor:
    """Unit vectors [m, 2] at these angles."""
    return torch.tensor([[math.cos(math.radians(d)), math.sin(math.radians(d))] for d in degrees]).double()


@minings
@means
@pytest.mark.parametrize("margin", [0.05, 0.2, 1.0, 5.0])
@pytest.mark.parametrize("m", [2, 7, 30])
def test_a_batch(mining: Mining, mean: TripletMean, margin: float, m: int) -> None:
    points, labels = batch(m)
    wanted = naive.triplet(as_lists(points, labels), margin, mining, mean)
    value = Triplet(margin, mining, mean)(points, labels)
    assert value.item() == pytest.approx(wanted, rel=1e-11, abs=1e-15)


@minings
@means
@pytest.mark.parametrize("known", [True, False], ids=["anchors among them", "anchors unknown"])
def test_others(mining: Mining, mean: TripletMean, known: bool) -> None:
    points, labels = batch()
    others, other_labels, itself = others_of(points, labels)
    given = (points, labels, others, other_labels, itself if known else None)
    wanted = naive.triplet(as_lists(*given), 0.3, mining, mean)
    assert Triplet(0.3, mining, mean)(*given).item() == pytest.approx(wanted, rel=1e-11)


def test_the_three_minings_by_hand() -> None:
    # Distances from the anchor: 0.52 to its positive, 0.35 and 0.68 to negatives, 2 to a far one.
    points, labels = on_circle(0, 30, -20, 40, 180), torch.tensor([0, 0, 1, 2, 3])
    near, positive, half, _ = (2 * math.sin(math.radians(d / 2)) for d in (20, 30, 40, 180))
    anchor = (points[:1], labels[:1], points, labels, torch.tensor([0]))

    def value(mining: Mining, mean: TripletMean = "nonzero") -> float:
        return float(Triplet(0.2, mining, mean)(*anchor))

    harder, semihard = positive - near + 0.2, positive - half + 0.2
    assert value("hard") == pytest.approx(harder, rel=1e-5)
    assert value("semihard") == pytest.approx(semihard, rel=1e-4)
    assert value("all") == pytest.approx((harder + semihard) / 2, rel=1e-5)
    assert value("all", "all") == pytest.approx((harder + semihard) / 3, rel=1e-5)


def test_a_solved_batch_costs_nothing_and_has_no_gradient() -> None:
    points, labels = on_circle(0, 1, 180, 181).requires_grad_(), torch.tensor([0, 0, 1, 1])
    for mining in get_args(Mining):
        value = Triplet(0.2, mining)(points, labels)
        (gradient,) = torch.autograd.grad(value, points)
        assert value == 0 and not gradient.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_embeddings_cost_the_margin(dtype: torch.dtype) -> None:
    points = torch.full((6, 4), 3.7, dtype=dtype)
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    for mean in get_args(TripletMean):
        for mining in ("all", "hard"):
            value = Triplet(0.2, mining, mean)(points, labels)
            assert value.item() == pytest.approx(0.2, rel=1e-5)
        # As near as the positive is not farther than it.
        assert Triplet(0.2, "semihard", mean)(points, labels) == 0


def test_a_margin_lost_in_rounding_activates_nothing() -> None:
    """Positive and negative are equally far, and float32 does not see the margin."""
    points, labels = on_circle(0, 30, -30).float().requires_grad_(), torch.tensor([0, 0, 1])
    for mining in ("all", "semihard"):
        value = Triplet(1e-12, mining)(points[:1], labels[:1], points, labels, labels[:1])
        (gradient,) = torch.autograd.grad(value, points)
        assert value == 0 and not gradient.any()


def test_memory_is_that_of_the_distances() -> None:
    """1000 images of 10 classes have 89 million triplets; nothing of that size is made."""
    points, labels = torch.randn(1000, 8, generator=torch.Generator().manual_seed(0)), torch.arange(1000) % 10
    largest = 0

    def watch(packed: Tensor) -> Tensor:
        nonlocal largest
        largest = max(largest, packed.numel())
        return packed

    with torch.autograd.graph.saved_tensors_hooks(watch, lambda packed: packed):
        value = Triplet()(points.requires_grad_(), labels)
    value.backward()
    assert value.isfinite()
    assert largest <= 1_000_000
