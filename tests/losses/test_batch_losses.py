"""The losses on plain labelled batches: NCA and the classifiers."""

from __future__ import annotations

import math

import naive_losses as naive
import pytest
import torch
from torch import Tensor

from fewshot.errors import InputError
from fewshot.losses import NCA, CosineCrossEntropy, CrossEntropy, nca
from fewshot.randomness import generator


def batch(m: int = 20, dim: int = 5, classes: int = 6) -> tuple[Tensor, Tensor]:
    draw = generator(0, "test batch", m)
    labels = torch.randint(0, classes, (m,), generator=draw)
    return torch.randn(m, dim, generator=draw, dtype=torch.float64), labels


@pytest.mark.parametrize("m", [2, 8, 20])
@pytest.mark.parametrize("temperature", [0.9, 5.0])
def test_nca(m: int, temperature: float) -> None:
    points, labels = batch(m)
    wanted = naive.nca(points.tolist(), labels.tolist(), temperature)
    assert NCA(temperature)(points, labels).item() == pytest.approx(wanted, rel=1e-12)


def test_nca_by_hand() -> None:
    points = torch.tensor([[0.0], [1.0], [2.0]], dtype=torch.float64)
    # Weights of 0: e^-1 to its friend, e^-4; of 1: e^-1 to either; 2 has no friend and counts 0 of 3.
    wanted = (math.log(1 + math.exp(-3)) + math.log(2)) / 3
    assert nca(points, torch.tensor([0, 0, 1]), temperature=1.0).item() == pytest.approx(wanted, rel=1e-12)


def test_nca_leaves_an_anchor_itself_out_also_among_duplicates() -> None:
    points = torch.tensor([[0.0], [0.0], [0.0]], dtype=torch.float64)
    assert nca(points, torch.tensor([0, 0, 1])).item() == pytest.approx(2 * math.log(2) / 3, rel=1e-12)


@pytest.mark.parametrize("labels", [[0, 1, 2, 3], [0, 0, 0, 0], [0, 0, 1, 2]])
def test_nca_has_finite_gradients_without_friends_or_enemies(labels: list[int]) -> None:
    points = torch.tensor([[0.0], [1.0], [500.0], [900.0]], requires_grad=True)
    loss = nca(points, torch.tensor(labels))
    loss.backward()
    assert points.grad.isfinite().all()
    if len(set(labels)) in (1, 4):
        assert loss.item() == 0
        assert not points.grad.any()


def test_nca_of_one_image_is_0() -> None:
    point = torch.ones(1, 3, requires_grad=True)
    nca(point, torch.tensor([4])).backward()
    assert not point.grad.any()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy(smoothing: float) -> None:
    points, labels = batch()
    loss = CrossEntropy(classes=6, dim=5, label_smoothing=smoothing).double()
    with torch.no_grad():
        loss.bias.copy_(torch.linspace(-1, 1, 6))
    losses = []
    for z, y in zip(points.tolist(), labels.tolist(), strict=True):
        rows = zip(loss.weight.tolist(), loss.bias.tolist(), strict=True)
        logits = [sum(a * b for a, b in zip(w, z, strict=True)) + bias for w, bias in rows]
        losses.append(naive.softmax_loss(logits, y, smoothing))
    assert loss(points, labels).item() == pytest.approx(sum(losses) / len(losses), rel=1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("learnable", [True, False])
def test_cosine_cross_entropy(smoothing: float, learnable: bool) -> None:
    points, labels = batch()
    loss = CosineCrossEntropy(6, 5, scale=7.0, learnable_scale=learnable, label_smoothing=smoothing).double()
    losses = [
        naive.softmax_loss([7.0 * naive.cosine(w, z) for w in loss.weight.tolist()], y, smoothing)
        for z, y in zip(points.tolist(), labels.tolist(), strict=True)
    ]
    assert loss(points, labels).item() == pytest.approx(sum(losses) / len(losses), rel=1e-12)
    assert {name for name, _ in loss.named_parameters()} == {"weight", *(["scale"] if learnable else [])}
    assert set(loss.state_dict()) == {"weight", "scale"}


@pytest.mark.parametrize("loss", [CrossEntropy, CosineCrossEntropy])
def test_weights_depend_on_the_seed_alone(loss: type[CrossEntropy] | type[CosineCrossEntropy]) -> None:
    state = torch.get_rng_state()
    first, again, other = loss(4, 3, seed=1), loss(4, 3, seed=1), loss(4, 3, seed=2)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.weight, again.weight)
    assert not torch.equal(first.weight, other.weight)


def test_misuse_says_what_is_wrong() -> None:
    points, labels = batch(4)
    with pytest.raises(ValueError, match=r"got \[4, 5\] and \[3\]"):
        nca(points, labels[:3])
    with pytest.raises(InputError, match="temperature=-1"):
        NCA(temperature=-1)
    with pytest.raises(InputError, match="classes=0"):
        CrossEntropy(classes=0, dim=3)
    with pytest.raises(InputError, match="scale=0"):
        CosineCrossEntropy(classes=2, dim=3, scale=0)
