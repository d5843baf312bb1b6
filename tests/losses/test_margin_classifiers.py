"""ArcFace and CosFace: against loops, and at the ends of the circle."""

from __future__ import annotations

import math

import naive_metric_losses as naive
import pytest
import torch
from torch import Tensor

from fewshot.errors import InputError
from fewshot.losses import ArcFace, CosFace, CosineCrossEntropy, arcface, cosface
from fewshot.randomness import generator

Classifier = ArcFace | CosFace
both = pytest.mark.parametrize("loss", [ArcFace, CosFace])


def batch(m: int = 20, dim: int = 5, classes: int = 6) -> tuple[Tensor, Tensor]:
    draw = generator(0, "test classifier", m)
    labels = torch.randint(0, classes, (m,), generator=draw)
    return torch.randn(m, dim, generator=draw, dtype=torch.float64), labels


@pytest.mark.parametrize("margin", [0.1, 0.5, 1.2])
@pytest.mark.parametrize("scale", [1.0, 64.0])
def test_against_the_equations(margin: float, scale: float) -> None:
    points, labels = batch()
    weight = 3 * torch.randn(6, 5, generator=generator(0, "test weight", 0), dtype=torch.float64)
    given = (points.tolist(), labels.tolist(), weight.tolist(), margin, scale)
    assert arcface(points, labels, weight, margin, scale).item() == pytest.approx(
        naive.arcface(*given), rel=1e-11
    )
    assert cosface(points, labels, weight, margin, scale).item() == pytest.approx(
        naive.cosface(*given), rel=1e-11
    )


def test_both_sides_of_the_last_angle() -> None:
    """Some own angles lie beyond pi - margin, and the logit falls across that angle."""
    angles = torch.linspace(0.01, math.pi - 0.01, 300, dtype=torch.float64)
    points = torch.stack((angles.cos(), angles.sin()), 1)
    weight = torch.tensor([[1.0, 0.0], [0.0, -1.0]], dtype=torch.float64)
    labels = torch.zeros(300, dtype=torch.int64)
    alone = torch.stack([arcface(z[None], labels[:1], weight, 0.5, 4.0) for z in points])
    for i in (0, 150, 290, 299):
        wanted = naive.arcface([points[i].tolist()], [0], weight.tolist(), 0.5, 4.0)
        assert alone[i].item() == pytest.approx(wanted, rel=1e-11)
    own_only = torch.stack([arcface(z[None], labels[:1], weight[:1], 0.5, 4.0) for z in points])
    assert not own_only.any()
    assert points[299] @ weight[0] < -math.cos(0.5)


@both
def test_without_margin_it_is_the_cosine_classifier(loss: type[Classifier]) -> None:
    points, labels = batch()
    plain = CosineCrossEntropy(6, 5, scale=64.0).double()
    made = loss(6, 5, margin=1e-12).double()
    assert torch.equal(made.weight, plain.weight)
    torch.testing.assert_close(made(points, labels), plain(points, labels))


@both
def test_the_margin_costs(loss: type[Classifier]) -> None:
    points, labels = batch()
    costs = [loss(6, 5, margin=m).double()(points, labels).item() for m in (0.1, 0.3, 0.5)]
    assert costs == sorted(costs) and costs[0] < costs[-1]


@both
def test_gradient(loss: type[Classifier]) -> None:
    points, labels = batch(8)
    made = loss(6, 5, scale=4.0).double()
    assert torch.autograd.gradcheck(
        lambda z, w: (arcface if loss is ArcFace else cosface)(z, labels, w, made.margin, made.scale),
        (points.requires_grad_(), made.weight),
    )


@both
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("case", ["own", "opposite", "zero", "tiny", "large", "equal"])
def test_gradients_are_finite(loss: type[Classifier], dtype: torch.dtype, case: str) -> None:
    made = loss(6, 5)
    labels = torch.arange(6)
    own = made.weight.detach()
    points = {
        "own": own,
        "opposite": -own,
        "zero": 0 * own,
        "tiny": 1e-7 * own,
        "large": 6e4 * own,
        "equal": torch.full_like(own, 3.7),
    }[case]
    if dtype == torch.float16 and case in ("zero", "tiny"):
        pytest.skip("their gradient, up to scale / 1e-4, is finite but no float16")
    points = points.to(dtype).requires_grad_()
    value = made(points, labels)
    value.backward()
    assert value.isfinite()
    for gradient in (points.grad, made.weight.grad):
        assert gradient is not None and gradient.isfinite().all()


@both
def test_order_of_images_and_names_of_classes_change_nothing(loss: type[Classifier]) -> None:
    points, labels = batch()
    made = loss(6, 5).double()
    value = made(points, labels)
    order = torch.randperm(20, generator=generator(0, "test order", 0))
    torch.testing.assert_close(made(points[order], labels[order]), value)
    names = torch.tensor([3, 0, 4, 1, 5, 2])
    with torch.no_grad():
        made.weight.copy_(made.weight[names.argsort()])
    torch.testing.assert_close(made(2 * points, names[labels]), value)


@both
def test_precisions(loss: type[Classifier]) -> None:
    points, labels = batch()
    made = loss(6, 5)
    single = made(points.float(), labels)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), loss(6, 5).double()(points, labels), rtol=1e-5, atol=1e-6)
    for half in (torch.bfloat16, torch.float16):
        assert torch.equal(made(points.to(half), labels), made(points.to(half).float(), labels))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(made(points.float(), labels), single)


@both
def test_weights_depend_on_the_seed_alone(loss: type[Classifier]) -> None:
    state = torch.get_rng_state()
    first, again, other = loss(4, 3, seed=1), loss(4, 3, seed=1), loss(4, 3, seed=2)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.weight, again.weight)
    assert not torch.equal(first.weight, other.weight)
    assert loss(4, 3, lr_scale=10.0).lr_scale == 10.0


@both
@pytest.mark.parametrize("key", ["classes", "dim", "margin", "scale", "lr_scale"])
def test_mistakes_say_what_is_wrong(loss: type[Classifier], key: str) -> None:
    with pytest.raises(InputError, match=f"{key}=0 of the loss"):
        loss(**{"classes": 4, "dim": 3, key: 0})
    points, labels = batch()
    with pytest.raises(ValueError, match=r"got \[20, 5\] and \[19\]"):
        loss(6, 5)(points, labels[1:])
