"""The losses on supports, queries and prototypes: against loops, and by hand."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import naive_losses as naive
import pytest
import torch
from torch import Tensor

from fewshot.errors import InputError
from fewshot.losses import (
    CosinePrototypicalCrossEntropy,
    MatchingNetwork,
    ProtoTriplet,
    PrototypicalCrossEntropy,
    matching,
    proto_triplet,
    prototypical_cross_entropy,
)
from fewshot.randomness import generator

SHAPES = ((5, 1, 3), (3, 5, 4), (2, 2, 1))


def episode(ways: int, shots: int, queries: int, dim: int = 6) -> tuple[Tensor, Tensor]:
    draw = generator(0, "test episode", ways)
    means = torch.randn(ways, 1, dim, generator=draw, dtype=torch.float64)
    images = means + torch.randn(ways, shots + queries, dim, generator=draw, dtype=torch.float64)
    return images[:, :shots], images[:, shots:]


def line(*classes: list[float]) -> Tensor:
    """[ways, count, 1] from points on a line."""
    return torch.tensor(classes, dtype=torch.float64)[..., None]


# ----------------------------------------------------------------------------- against the equations


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("temperature", [1.0, 7.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_prototypical(shape: Any, temperature: float, smoothing: float) -> None:
    support, query = episode(*shape)
    wanted = naive.prototypical(support.tolist(), query.tolist(), temperature, smoothing)
    loss = PrototypicalCrossEntropy(temperature, smoothing)
    assert loss(support, query).item() == pytest.approx(wanted, rel=1e-12)
    if not smoothing:
        assert torch.equal(prototypical_cross_entropy(support, query, temperature), loss(support, query))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("learnable", [True, False])
def test_prototypical_cosine(shape: Any, smoothing: float, learnable: bool) -> None:
    support, query = episode(*shape)
    wanted = naive.prototypical_cosine(support.tolist(), query.tolist(), 10.0, smoothing)
    loss = CosinePrototypicalCrossEntropy(10.0, learnable, smoothing)
    assert loss(support, query).item() == pytest.approx(wanted, rel=1e-12)
    assert len(list(loss.parameters())) == learnable
    assert list(loss.state_dict()) == ["scale"]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_matching(shape: Any, scale: float) -> None:
    support, query = episode(*shape)
    wanted = naive.matching(support.tolist(), query.tolist(), scale)
    assert MatchingNetwork(scale)(support, query).item() == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("shape", [*SHAPES, (1, 2, 3)])
@pytest.mark.parametrize("margin", [0.5, 3.0])
def test_proto_triplet(shape: Any, margin: float) -> None:
    support, query = episode(*shape)
    wanted = naive.proto_triplet(support.tolist(), query.tolist(), margin)
    assert ProtoTriplet(margin)(support, query).item() == pytest.approx(wanted, rel=1e-12, abs=1e-15)


# ----------------------------------------------------------------------------- by hand


def test_prototypical_by_hand() -> None:
    # Both queries at 0, prototypes at 0 and 1: logits 0 and -1.
    loss = prototypical_cross_entropy(line([-1, 1], [0, 2]), line([0], [0])).item()
    assert loss == pytest.approx(math.log(1 + math.exp(-1)) + 0.5, rel=1e-12)


def test_matching_by_hand() -> None:
    support = torch.tensor([[[2.0, 0.0]], [[0.0, 3.0]]], dtype=torch.float64)
    query = torch.tensor([[[5.0, 0.0]], [[0.0, -1.0]]], dtype=torch.float64)
    # Cosines 1, 0 for the first, 0, -1 for the second, whose true class is the one at -1.
    wanted = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(1))) / 2
    assert matching(support, query).item() == pytest.approx(wanted, rel=1e-12)


def test_proto_triplet_by_hand() -> None:
    support = line([0, 2], [4, 6], [20, 22])  # prototypes at 1, 5 and 21
    query = line([2.0], [3.25], [30.0])
    # 1 - 3 + 1/2 < 0; 1.75 - 2.25 + 1/2 = 0 and with margin 1 it is 1/2; 9 - 25 + 1/2 < 0.
    assert proto_triplet(support, query).item() == pytest.approx(0, abs=1e-6)
    assert proto_triplet(support, query, margin=1.0).item() == pytest.approx(Fraction(1, 6), abs=1e-6)


def test_proto_triplet_moves_query_and_both_prototypes() -> None:
    support, query = line([0, 2], [4, 6]).requires_grad_(), line([2.9], [30.0]).requires_grad_()
    proto_triplet(support, query).backward()
    # Query 2.9 is 1.9 from its prototype 1 and 2.1 from 5: nearer to the one is farther from the other.
    assert query.grad.flatten().tolist() == pytest.approx([1.0, 0.0], abs=1e-6)
    assert support.grad.flatten().tolist() == pytest.approx([-0.25, -0.25, -0.25, -0.25], abs=1e-6)


def test_proto_triplet_of_one_class_has_a_zero_gradient() -> None:
    support, query = line([0, 2]).requires_grad_(), line([5]).requires_grad_()
    proto_triplet(support, query).backward()
    assert not support.grad.any()
    assert not query.grad.any()


# ----------------------------------------------------------------------------- precision


@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_float32_logits_keep_their_digits_far_from_the_origin(offset: float) -> None:
    draw = generator(0, "test offset", 0)
    images = 0.1 * torch.randn(5, 20, 640, generator=draw) + offset
    support, query = images[:, :5], images[:, 5:]
    wanted = prototypical_cross_entropy(support.double(), query.double()).item()
    assert prototypical_cross_entropy(support, query).item() == pytest.approx(wanted, rel=1e-5)


def test_huge_distances_do_not_overflow() -> None:
    support, query = episode(3, 2, 2)
    for loss in (PrototypicalCrossEntropy(), ProtoTriplet(), MatchingNetwork()):
        assert loss(1e6 * support.float(), 1e6 * query.float()).isfinite()


# ----------------------------------------------------------------------------- misuse


def test_misuse_says_what_is_wrong() -> None:
    support, query = episode(3, 2, 4)
    with pytest.raises(ValueError, match=r"got \[3, 2, 6\] and \[2, 4, 6\]"):
        prototypical_cross_entropy(support, query[:2])
    with pytest.raises(ValueError, match="none empty"):
        proto_triplet(support[:, :0], query)
    with pytest.raises(ValueError, match="dim"):
        matching(support[..., :5], query)
    with pytest.raises(InputError, match=r"temperature=0 of the loss must be a finite number above 0"):
        PrototypicalCrossEntropy(temperature=0)
    with pytest.raises(InputError, match="label_smoothing=1"):
        PrototypicalCrossEntropy(label_smoothing=1)
    with pytest.raises(InputError, match="scale=nan"):
        MatchingNetwork(scale=math.nan)
    with pytest.raises(InputError, match="scale=-1"):
        CosinePrototypicalCrossEntropy(scale=-1)
