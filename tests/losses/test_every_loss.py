"""What must hold for every loss: gradients, invariances, precisions, degenerate sets."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fewshot.losses import (
    ICNN,
    ICNN2021,
    NCA,
    Combined,
    CosineCrossEntropy,
    CosinePrototypicalCrossEntropy,
    CrossEntropy,
    MatchingNetwork,
    ProtoTriplet,
    PrototypicalCrossEntropy,
)
from fewshot.losses.searched_sets import Variant
from fewshot.randomness import generator

VARIANTS: tuple[Variant, ...] = ("full", "support", "query", "query_prototypes")
EPISODIC: dict[str, nn.Module] = {
    "prototypical": PrototypicalCrossEntropy(label_smoothing=0.1),
    "prototypical_cosine": CosinePrototypicalCrossEntropy(),
    "matching": MatchingNetwork(scale=5.0),
    "proto_triplet": ProtoTriplet(margin=1.0),
    "combined": Combined({"pt": ProtoTriplet(), "icnn": ICNN()}, ["pt", "icnn"], {"pt": 0.3, "icnn": 2.0}),
    **{f"icnn_{v}": ICNN(v, omega=True) for v in VARIANTS},
    **{f"icnn_{v}_official": ICNN(v, official=True) for v in VARIANTS},
    **{f"icnn_2021_{v}": ICNN2021(v, omega=True) for v in VARIANTS},
}
BATCH: dict[str, Callable[[], nn.Module]] = {
    "nca": lambda: NCA(),
    "cross_entropy": lambda: CrossEntropy(classes=5, dim=7, label_smoothing=0.1),
    "cosine_cross_entropy": lambda: CosineCrossEntropy(classes=5, dim=7),
}

episodic = pytest.mark.parametrize("loss", EPISODIC.values(), ids=EPISODIC.keys())
plain = pytest.mark.parametrize("make", BATCH.values(), ids=BATCH.keys())


def episodes(count: int = 3, ways: int = 5, shots: int = 2, queries: int = 3) -> tuple[Tensor, Tensor]:
    draw = generator(0, "test episodes", shots)
    means = torch.randn(count, ways, 1, 7, generator=draw, dtype=torch.float64)
    images = means + torch.randn(count, ways, shots + queries, 7, generator=draw, dtype=torch.float64)
    return images[:, :, :shots].contiguous(), images[:, :, shots:].contiguous()


def batch() -> tuple[Tensor, Tensor]:
    support, _ = episodes(1, 5, 4)
    return support.flatten(0, 2), torch.arange(5).repeat_interleave(4)


# ----------------------------------------------------------------------------- gradients


@episodic
def test_gradient_of_an_episode(loss: nn.Module) -> None:
    support, query = episodes(2)
    assert torch.autograd.gradcheck(loss, (support.requires_grad_(), query.requires_grad_()))


@plain
def test_gradient_of_a_batch(make: Callable[[], nn.Module]) -> None:
    points, labels = batch()
    loss = make().double()
    assert torch.autograd.gradcheck(
        lambda z, *_: loss(z, labels), (points.requires_grad_(), *loss.parameters())
    )


DEGENERATE: dict[str, tuple[Tensor, Tensor]] = {
    "all zero": (torch.zeros(2, 5, 2, 7), torch.zeros(2, 5, 3, 7)),
    "all equal": (torch.full((2, 5, 2, 7), 3.7), torch.full((2, 5, 3, 7), 3.7)),
    "one shot": tuple(t.float() for t in episodes(shots=1)),  # type: ignore[dict-item]
    "single query": tuple(t.float() for t in episodes(queries=1)),  # type: ignore[dict-item]
    "two ways": tuple(t[:, :2].float() for t in episodes()),  # type: ignore[dict-item]
    "one class": tuple(t[:, :1].float() for t in episodes(shots=6)),  # type: ignore[dict-item]
    "queries are supports": (episodes()[0].float(), episodes()[0].float()),
    "huge": tuple(1e4 * t.float() for t in episodes()),  # type: ignore[dict-item]
    "tiny": tuple(1e-8 * t.float() for t in episodes()),  # type: ignore[dict-item]
    "collapsed classes": tuple(t[:, :, :1].float().expand(-1, -1, 3, -1) for t in episodes()),  # type: ignore[dict-item]
}


@episodic
@pytest.mark.parametrize("case", DEGENERATE.keys())
def test_degenerate_episodes_have_finite_gradients(loss: nn.Module, case: str) -> None:
    support, query = (t.clone().requires_grad_() for t in DEGENERATE[case])
    if getattr(loss, "official", False) and case in ("two ways", "one class"):
        pytest.skip("the official preset needs three targets")
    value = loss(support, query)
    value.backward()
    assert value.isfinite()
    for gradient in (support.grad, query.grad):
        assert gradient is None or gradient.isfinite().all()


@plain
@pytest.mark.parametrize("scale", [0.0, 1e-8, 1.0, 1e4])
def test_degenerate_batches_have_finite_gradients(make: Callable[[], nn.Module], scale: float) -> None:
    points, labels = batch()
    points = (scale * points.float()).requires_grad_()
    value = make()(points, labels)
    value.backward()
    assert value.isfinite()
    assert points.grad is not None
    assert points.grad.isfinite().all()


# ----------------------------------------------------------------------------- invariances


@episodic
def test_a_block_of_episodes_is_the_mean_of_single_ones(loss: nn.Module) -> None:
    support, query = episodes()
    each = [loss(s, q) for s, q in zip(support, query, strict=True)]
    torch.testing.assert_close(loss(support, query), torch.stack(each).mean())


@episodic
def test_order_of_classes_and_images_changes_nothing(loss: nn.Module) -> None:
    support, query = episodes()
    draw = generator(0, "test order", 0)
    ways, shots, queries = (torch.randperm(n, generator=draw) for n in (5, 2, 3))
    moved = loss(support[:, ways][:, :, shots], query[:, ways][:, :, queries])
    torch.testing.assert_close(moved, loss(support, query))


@plain
def test_order_of_images_changes_nothing(make: Callable[[], nn.Module]) -> None:
    points, labels = batch()
    order = torch.randperm(len(labels), generator=generator(0, "test order", 0))
    loss = make().double()
    torch.testing.assert_close(loss(points[order], labels[order]), loss(points, labels))


def test_names_of_classes_change_nothing_in_nca() -> None:
    points, labels = batch()
    torch.testing.assert_close(NCA()(points, torch.tensor([70, 3, 1, 12, 9])[labels]), NCA()(points, labels))


@episodic
def test_moving_the_whole_space_changes_nothing_for_distances(loss: nn.Module) -> None:
    support, query = episodes()
    if isinstance(loss, (MatchingNetwork, CosinePrototypicalCrossEntropy)):
        pytest.skip("cosines see the origin")
    torch.testing.assert_close(loss(support + 5, query + 5), loss(support, query))


# ----------------------------------------------------------------------------- precision


@episodic
def test_precisions_of_an_episode(loss: nn.Module) -> None:
    support, query = episodes()
    exact = loss(support, query)
    assert exact.dtype == torch.float64
    single = loss(support.float(), query.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), exact, rtol=1e-5, atol=1e-6)
    for half in (torch.bfloat16, torch.float16):
        rounded = support.to(half), query.to(half)
        assert torch.equal(loss(*rounded), loss(rounded[0].float(), rounded[1].float()))


@episodic
def test_autocast_changes_nothing_for_an_episode(loss: nn.Module) -> None:
    support, query = (t.float() for t in episodes())
    with torch.autocast("cpu", torch.bfloat16):
        inside = loss(support, query)
    assert torch.equal(inside, loss(support, query))


@plain
def test_precisions_of_a_batch(make: Callable[[], nn.Module]) -> None:
    points, labels = batch()
    loss = make()
    single = loss(points.float(), labels)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), make().double()(points, labels), rtol=1e-5, atol=1e-6)
    rounded = points.bfloat16()
    assert torch.equal(loss(rounded, labels), loss(rounded.float(), labels))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(loss(points.float(), labels), single)


# ----------------------------------------------------------------------------- the recipe's view


def test_every_loss_says_its_kind() -> None:
    assert all(loss.kind == "episodic" for loss in EPISODIC.values())
    assert all(make().kind == "batch" for make in BATCH.values())
