"""The margin loss: its draws, its hinges, and its state."""

from __future__ import annotations

import math
from typing import Any

import naive_metric_losses as naive
import pytest
import torch
from labelled_batches import as_lists, batch, degenerate, others_of
from torch import Tensor

from fewshot.errors import InputError
from fewshot.losses import Margin, margin
from fewshot.losses.distance_weighting import distance_weighted_negatives
from fewshot.losses.pairs import compared, unit_distances
from fewshot.randomness import generator

BETA = torch.tensor([0.9, 1.0, 1.1, 1.2, 1.3], dtype=torch.float64)


def draw(index: int = 0) -> torch.Generator:
    return generator(0, "test negatives", index)


def few_classes() -> tuple[Tensor, Tensor]:
    points, labels = batch()
    return points, labels % 5


def negatives_of(*given: Any, cutoff: float = 0.5, farthest: float = 1.4) -> Tensor:
    """What a call with the generator `draw()` draws."""
    others, relation = compared(*given)
    return distance_weighted_negatives(
        unit_distances(given[0], others),
        relation.negative,
        given[0].shape[1],
        draw(),
        cutoff=cutoff,
        farthest=farthest,
    )


@pytest.mark.parametrize("alpha", [0.2, 0.6])
@pytest.mark.parametrize("farthest", [1.4, 0.4, 2.5])
def test_a_batch(alpha: float, farthest: float) -> None:
    points, labels = few_classes()
    drawn = negatives_of(points, labels, farthest=farthest).tolist()
    wanted = naive.margin(as_lists(points, labels), drawn, BETA.tolist(), alpha)
    value = margin(points, labels, beta=BETA, generator=draw(), alpha=alpha, farthest=farthest)
    assert value.item() == pytest.approx(wanted, rel=1e-11)


@pytest.mark.parametrize("known", [True, False], ids=["anchors among them", "anchors unknown"])
def test_others(known: bool) -> None:
    points, labels = few_classes()
    others, other_labels, itself = others_of(points, labels)
    other_labels = other_labels.where(other_labels < 0, other_labels % 5)
    given = (points, labels, others, other_labels, itself if known else None)
    wanted = naive.margin(as_lists(*given), negatives_of(*given).tolist(), [1.1] * 5, 0.2)
    value = margin(*given, beta=torch.tensor(1.1, dtype=torch.float64), generator=draw())
    assert value.item() == pytest.approx(wanted, rel=1e-11)


# ----------------------------------------------------------------------------- the draws


@pytest.mark.parametrize("dim", [3, 8, 64])
@pytest.mark.parametrize(("cutoff", "farthest"), [(0.5, 1.4), (0.8, 1.2), (0.1, 2.5)])
def test_probabilities_are_those_of_the_paper(dim: int, cutoff: float, farthest: float) -> None:
    distances = torch.tensor([[0.3, 0.45, 0.6, 0.9, 1.19, 1.3, 1.41, 1.9]], dtype=torch.float64)
    negative = torch.tensor([[True, True, False, True, True, True, True, True]])
    n = 100_000
    drawn = distance_weighted_negatives(
        distances.repeat(n // 8, 1),
        negative.repeat(n // 8, 1),
        dim,
        draw(dim),
        cutoff=cutoff,
        farthest=farthest,
    )
    shares = torch.bincount(drawn.flatten(), minlength=8) / drawn.numel()
    columns = negative[0].nonzero()[:, 0].tolist()
    wanted = torch.tensor(naive.distance_weights(distances[0].tolist(), columns, dim, cutoff, farthest))
    error = (wanted * (1 - wanted) / n).sqrt()
    assert ((shares - wanted).abs() <= 5 * error + 1e-9).all()


def test_uniform_where_all_negatives_are_far() -> None:
    distances = torch.full((5000, 4), 1.6)
    negative = torch.tensor([True, False, True, True]).expand(5000, -1)
    shares = torch.bincount(
        distance_weighted_negatives(distances, negative, 512, draw()).flatten(), minlength=4
    )
    assert shares[1] == 0
    assert shares[[0, 2, 3]].sub(20000 / 3).abs().max() < 5 * math.sqrt(20000 * 2 / 9)


def test_only_negatives_are_drawn_in_any_dimension() -> None:
    for dim in (2, 3, 512, 4096):
        directions = torch.randn(64, dim, generator=draw(dim))
        labels = torch.arange(64) % 8
        _, (_, negative) = compared(directions, labels)
        drawn = distance_weighted_negatives(unit_distances(directions, directions), negative, dim, draw())
        assert negative.gather(1, drawn).all()


def test_a_row_does_not_see_the_weights_of_another() -> None:
    """In 512 dimensions 1/q is e^368 times larger at 0.5 than at 1.35, more than a float32 can hold."""
    distances = torch.tensor([[0.1, 0.5, 0.6, 0.1], [1.35, 1.36, 1.3, 0.1]])
    negative = torch.tensor([True, True, True, False]).expand(2, -1)
    drawn = distance_weighted_negatives(distances.repeat(500, 1), negative.repeat(500, 1), 512, draw())
    assert set(drawn[0::2].flatten().tolist()) == {0, 1}
    # 1.3 is e^4.2 and e^4.8 times as likely as 1.35 and 1.36.
    assert set(drawn[1::2].flatten().tolist()) == {0, 1, 2}


# ----------------------------------------------------------------------------- gradients, degenerate sets


@pytest.mark.parametrize("beta", [BETA, torch.tensor(1.1, dtype=torch.float64)], ids=["classes", "one"])
def test_gradient(beta: Tensor) -> None:
    points, labels = few_classes()
    assert torch.autograd.gradcheck(
        lambda z, b: margin(z, labels, beta=b, generator=draw()),
        (points.requires_grad_(), beta.clone().requires_grad_()),
    )


@pytest.mark.parametrize("case", degenerate().keys())
@pytest.mark.parametrize("per_class", [True, False])
def test_degenerate_batches_have_finite_gradients(case: str, per_class: bool) -> None:
    points, labels = degenerate()[case]
    loss = Margin(classes=200, per_class=per_class)
    points = points.clone().requires_grad_()
    value = loss(points, labels)
    value.backward()
    assert value.isfinite()
    assert points.grad is not None and points.grad.isfinite().all()
    assert loss.beta.grad is not None and loss.beta.grad.isfinite().all()
    if case in ("one class", "one image a class", "one image", "two of one class"):
        assert value == 0 and not points.grad.any() and not loss.beta.grad.any()


def test_precisions() -> None:
    points, labels = few_classes()
    loss = Margin(classes=5).eval()
    single = loss(points.float(), labels)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), Margin(classes=5).double()(points, labels), rtol=1e-5, atol=0)
    for half in (torch.bfloat16, torch.float16):
        assert torch.equal(loss(points.to(half), labels), loss(points.to(half).float(), labels))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(loss(points.float(), labels), single)


def test_lengths_and_names_change_nothing() -> None:
    points, labels = few_classes()
    wanted = margin(points, labels, beta=BETA, generator=draw())
    names = torch.tensor([3, 0, 4, 1, 2])
    moved = margin(7 * points, names[labels], beta=BETA[names.argsort()], generator=draw())
    torch.testing.assert_close(moved, wanted)


# ----------------------------------------------------------------------------- the module and its state


def test_each_call_in_training_draws_anew_and_evaluation_does_not() -> None:
    points, labels = few_classes()
    loss = Margin(classes=5)
    before = torch.get_rng_state()
    assert loss(points, labels) != loss(points, labels)
    loss.eval()
    assert loss(points, labels) == loss(points, labels)
    assert torch.equal(torch.get_rng_state(), before)
    assert Margin(classes=5, seed=1)(points, labels) != Margin(classes=5, seed=2)(points, labels)


def test_a_generator_replaces_its_own() -> None:
    points, labels = few_classes()
    loss = Margin(classes=5, per_class=False, beta=1.1).double()
    value = loss(points, labels, generator=draw())
    torch.testing.assert_close(value, margin(points, labels, beta=loss.beta, generator=draw()))
    assert loss.get_extra_state() == 0


def test_a_resumed_loss_draws_what_the_straight_one_does() -> None:
    points, labels = few_classes()
    straight = Margin(classes=5)
    for _ in range(3):
        straight(points, labels)
    resumed = Margin(classes=5)
    resumed.load_state_dict({key: value.clone() for key, value in straight.state_dict().items()})
    assert torch.equal(resumed(points, labels), straight(points, labels))
    assert all(isinstance(value, Tensor) for value in straight.state_dict().values())


def test_beta() -> None:
    assert Margin(classes=7).beta.shape == (7,)
    assert Margin(classes=7, per_class=False).beta.shape == ()
    fixed = Margin(classes=7, beta=1.3, learnable_beta=False)
    assert not list(fixed.parameters())
    assert "beta" in fixed.state_dict()
    assert Margin(classes=7, lr_scale=5.0).lr_scale == 5.0


@pytest.mark.parametrize("key", ["classes", "beta", "alpha", "cutoff", "farthest", "lr_scale"])
def test_mistakes_say_what_is_wrong(key: str) -> None:
    with pytest.raises(InputError, match=f"{key}=0 of the loss"):
        Margin(**{"classes": 3, key: 0})
