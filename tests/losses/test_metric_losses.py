"""SupCon, NT-Xent, lifted structure and circle against loops, and what must hold for triplets too."""

from __future__ import annotations

import math
from collections.abc import Callable

import naive_metric_losses as naive
import pytest
import torch
from labelled_batches import as_lists, batch, degenerate, others_of
from torch import nn

from fewshot.errors import InputError
from fewshot.losses import Circle, CrossBatchMemory, LiftedStructure, NTXent, SupCon, Triplet
from fewshot.randomness import generator

Naive = Callable[[naive.Given], float]
ORACLES: dict[str, tuple[nn.Module, Naive]] = {
    "supcon": (SupCon(), lambda g: naive.supcon(g, 0.1, "positive")),
    "supcon anchors": (SupCon(0.5, "anchors"), lambda g: naive.supcon(g, 0.5, "anchors")),
    "nt_xent": (NTXent(), lambda g: naive.nt_xent(g, 0.07)),
    "nt_xent warm": (NTXent(0.5), lambda g: naive.nt_xent(g, 0.5)),
    "lifted_structure": (LiftedStructure(), lambda g: naive.lifted_structure(g, 1.0, 0.0)),
    "lifted_structure margins": (LiftedStructure(0.3, 1.9), lambda g: naive.lifted_structure(g, 0.3, 1.9)),
    "circle": (Circle(), lambda g: naive.circle(g, 0.4, 80.0)),
    "circle soft": (Circle(0.25, 3.0), lambda g: naive.circle(g, 0.25, 3.0)),
}
LOSSES: dict[str, nn.Module] = {
    **{name: loss for name, (loss, _) in ORACLES.items()},
    **{
        f"triplet {mining} {mean}": Triplet(0.5, mining, mean)
        for mining in ("all", "hard", "semihard")
        for mean in ("nonzero", "all")
    },
}

oracles = pytest.mark.parametrize(("loss", "wanted"), ORACLES.values(), ids=ORACLES.keys())
every = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
degenerates = pytest.mark.parametrize("case", degenerate().keys())

# ----------------------------------------------------------------------------- against the equations


@oracles
@pytest.mark.parametrize("m", [2, 7, 16, 21])
def test_a_batch(loss: nn.Module, wanted: Naive, m: int) -> None:
    points, labels = batch(m)
    value = loss(points, labels)
    assert value.shape == () and value.dtype == torch.float64
    assert value.item() == pytest.approx(wanted(as_lists(points, labels)), rel=1e-11, abs=1e-15)


@oracles
@pytest.mark.parametrize("known", [True, False], ids=["anchors among them", "anchors unknown"])
def test_others(loss: nn.Module, wanted: Naive, known: bool) -> None:
    points, labels = batch()
    others, other_labels, itself = others_of(points, labels)
    given = (points, labels, others, other_labels, itself if known else None)
    assert loss(*given).item() == pytest.approx(wanted(as_lists(*given)), rel=1e-11)


def test_supcon_by_hand() -> None:
    # Cosines of the first to the others: 1, 0, 0. T = 1; the second is alike, the last two have no friend.
    points = torch.tensor([[1.0, 0, 0], [2, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=torch.float64)
    labels = torch.tensor([0, 0, 1, 2])
    alone = math.log(math.e + 2) - 1
    assert SupCon(1.0)(points, labels).item() == pytest.approx(alone, rel=1e-12)
    assert SupCon(1.0, "anchors")(points, labels).item() == pytest.approx(alone / 2, rel=1e-12)


def test_nt_xent_keeps_its_digits_near_0() -> None:
    points = torch.tensor([[1.0, 0], [1, 0], [-1, 0], [-1, 0]])
    wanted = math.log1p(2 * math.exp(-2 / 0.07))
    assert wanted < 1e-12
    assert NTXent()(points, torch.tensor([0, 0, 1, 1])).item() == pytest.approx(wanted, rel=1e-4)


# ----------------------------------------------------------------------------- gradients


@every
def test_gradient(loss: nn.Module) -> None:
    if isinstance(loss, Circle):
        pytest.skip("its weights carry no gradient: see below")
    points, labels = batch(10)
    assert torch.autograd.gradcheck(lambda z: loss(z, labels), points.requires_grad_())


@every
def test_gradient_of_others(loss: nn.Module) -> None:
    if isinstance(loss, Circle):
        pytest.skip("its weights carry no gradient: see below")
    points, labels = batch(6, 4)
    others, other_labels, itself = others_of(points, labels)
    assert torch.autograd.gradcheck(
        lambda a, b: loss(a, labels, b, other_labels, itself),
        (points.requires_grad_(), others.requires_grad_()),
    )


def test_gradient_of_circle_leaves_its_weights_alone() -> None:
    points, labels = batch(8, 3)
    points.requires_grad_()
    Circle(0.4, 5.0)(points, labels).backward()
    held = as_lists(points, labels)
    step = 1e-6
    for i, j in ((0, 0), (3, 1), (7, 2)):
        ends = []
        for sign in (1, -1):
            moved = points.detach().clone()
            moved[i, j] += sign * step
            ends.append(naive.circle(as_lists(moved, labels), 0.4, 5.0, fixed=held))
        assert points.grad is not None
        assert points.grad[i, j].item() == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-6)


@every
@degenerates
def test_degenerate_batches_have_finite_gradients(loss: nn.Module, case: str) -> None:
    points, labels = degenerate()[case]
    points = points.clone().requires_grad_()
    value = loss(points, labels)
    value.backward()
    assert value.isfinite()
    assert points.grad is not None and points.grad.isfinite().all()
    without_triplet = ("one class", "one image a class", "one image", "two of one class")
    if case in without_triplet and not (isinstance(loss, SupCon) and case == "one class"):
        assert value.item() == pytest.approx(0, abs=1e-6)
        assert points.grad.abs().max() < 1e-5


@every
def test_degenerate_others_have_finite_gradients(loss: nn.Module) -> None:
    points, labels = (t.clone() for t in degenerate()["duplicates"])
    points.requires_grad_()
    nobody = torch.full_like(labels, -1)
    for others, other_labels in ((points[:3], nobody[:3]), (points[:1], labels[:1]), (points, labels % 2)):
        value = loss(points, labels, others, other_labels)
        (gradient,) = torch.autograd.grad(value, points)
        assert value.isfinite() and gradient.isfinite().all()
        if other_labels is not labels and (other_labels < 0).all():
            assert value == 0 and not gradient.any()


# ----------------------------------------------------------------------------- invariances


@every
def test_order_and_names_change_nothing(loss: nn.Module) -> None:
    points, labels = batch()
    value = loss(points, labels)
    order = torch.randperm(len(labels), generator=generator(0, "test order", 0))
    torch.testing.assert_close(loss(points[order], labels[order]), value)
    torch.testing.assert_close(loss(points, 977 - 3 * labels), value)


@every
def test_lengths_and_rotations_change_nothing(loss: nn.Module) -> None:
    points, labels = batch()
    value = loss(points, labels)
    draw = generator(0, "test lengths", 0)
    lengths = torch.rand(len(labels), 1, generator=draw, dtype=torch.float64) + 0.1
    rotation = torch.linalg.qr(torch.randn(6, 6, generator=draw, dtype=torch.float64)).Q
    torch.testing.assert_close(loss(lengths * points @ rotation, labels), value)


@every
def test_anchors_as_their_own_others(loss: nn.Module) -> None:
    points, labels = batch()
    itself = torch.arange(len(labels))
    torch.testing.assert_close(loss(points, labels, points, labels, itself), loss(points, labels))
    strangers = torch.cat((points, torch.randn(3, 6, generator=generator(0, "test strangers", 0)).double()))
    none = torch.cat((labels, torch.full((3,), -1)))
    torch.testing.assert_close(loss(points, labels, strangers, none, itself), loss(points, labels))


@every
def test_with_a_cross_batch_memory(loss: nn.Module) -> None:
    points, labels = batch()
    memory = CrossBatchMemory(loss, dim=6, size=20).double()
    torch.testing.assert_close(memory(points, labels), loss(points, labels))  # nothing remembered yet
    remembered = loss(points, labels, points, labels)
    torch.testing.assert_close(memory(points, labels), loss(points, labels) + remembered)


# ----------------------------------------------------------------------------- precision, mistakes


@every
def test_precisions(loss: nn.Module) -> None:
    points, labels = batch()
    single = loss(points.float(), labels)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), loss(points, labels), rtol=2e-5, atol=1e-6)
    for half in (torch.bfloat16, torch.float16):
        assert torch.equal(loss(points.to(half), labels), loss(points.to(half).float(), labels))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(loss(points.float(), labels), single)


@every
def test_wrong_shapes_say_so(loss: nn.Module) -> None:
    points, labels = batch()
    with pytest.raises(ValueError, match=r"got \[16, 6\] and \[15\]"):
        loss(points, labels[1:])
    with pytest.raises(ValueError, match=r"got \[16, 6\] and \[15\]"):
        loss(points, labels, points, labels[1:])
    with pytest.raises(ValueError, match="must be given together"):
        loss(points, labels, points)
    with pytest.raises(ValueError, match="must be given together"):
        loss(points, labels, self_index=labels)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SupCon(temperature=0), "temperature=0 of the loss"),
        (lambda: NTXent(temperature=-1), "temperature=-1 of the loss"),
        (lambda: LiftedStructure(negative_margin=math.inf), "negative_margin=inf of the loss"),
        (lambda: LiftedStructure(positive_margin=math.nan), "positive_margin=nan of the loss"),
        (lambda: Circle(relaxation=math.nan), "relaxation=nan of the loss"),
        (lambda: Circle(gamma=0), "gamma=0 of the loss"),
        (lambda: Triplet(margin=0), "margin=0 of the loss"),
    ],
)
def test_mistakes_say_what_is_wrong(make: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
