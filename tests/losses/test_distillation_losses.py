"""PRD's terms and the distillation of logits against loops over plain lists, in all their forms."""

from __future__ import annotations

import itertools
from statistics import fmean

import pytest
import torch
from naive_distillation import naive_kl, naive_relation, naive_softmax
from naive_losses import cosine
from torch import Tensor

from fewshot.errors import InputError
from fewshot.losses import (
    RelationDistillation,
    logit_distillation,
    prototype_attraction,
    relation_distillation,
)
from fewshot.losses.grouped_softmax import grouped_log_softmax, number_of_groups
from fewshot.randomness import generator

FORMS = list(
    itertools.product(
        ("samples", "classes"),
        ("current_snapshot", "snapshot_current"),
        ("cosine", "projection"),
        ("sum", "mean"),
    )
)
TASKS = torch.tensor([1, 0, -1, 1, 0, 2, -1])
"""Of seven classes: two of task 0, two of task 1, one of task 2, two that are not old."""


def tensors(n: int = 6, dim: int = 4) -> list[Tensor]:
    """Features, prototypes and those of the snapshot, float64."""
    draw = generator(0, "test relations", n)
    shapes = ((n, dim), (len(TASKS), dim), (n, dim), (len(TASKS), dim))
    return [torch.randn(shape, generator=draw, dtype=torch.float64) for shape in shapes]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("temperature", [0.3, 1.0])
def test_relations_are_the_equations(form: tuple[str, ...], temperature: float) -> None:
    given = tensors()
    axis, direction, similarity, reduction = form
    loss = RelationDistillation(temperature, axis, direction, similarity, reduction)  # type: ignore[arg-type]
    expected = naive_relation(given, TASKS, temperature, form)
    assert expected > 0.01
    assert loss(*given, TASKS).item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("form", FORMS)
def test_gradient_of_the_relations(form: tuple[str, ...]) -> None:
    """It reaches features and old prototypes; the snapshot and prototypes that are not old get none."""
    given = [tensor.requires_grad_() for tensor in tensors()]
    axis, direction, similarity, reduction = form
    loss = RelationDistillation(0.5, axis, direction, similarity, reduction)  # type: ignore[arg-type]
    assert torch.autograd.gradcheck(lambda z, p: loss(z, p, *given[2:], TASKS), given[:2])
    loss(*given, TASKS).backward()
    assert given[0].grad is not None and (given[0].grad.abs().sum(1) > 0).all()
    assert given[1].grad is not None
    # A task of one class has no relation among its classes.
    moved = (TASKS >= 0) if axis == "samples" else (TASKS >= 0) & (TASKS != 2)
    assert torch.equal(given[1].grad.abs().sum(1) > 1e-12, moved)
    assert given[2].grad is None and given[3].grad is None


@pytest.mark.parametrize("form", FORMS)
def test_relations_that_did_not_move_cost_nothing(form: tuple[str, ...]) -> None:
    z, p, _, _ = tensors()
    axis, direction, similarity, reduction = form
    loss = RelationDistillation(0.1, axis, direction, similarity, reduction)  # type: ignore[arg-type]
    z.requires_grad_()
    value = loss(z, p, z.detach(), p, TASKS)
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-12)
    assert z.grad is not None and z.grad.abs().max() < 1e-12


@pytest.mark.parametrize("form", FORMS)
def test_order_of_samples_and_classes_changes_nothing(form: tuple[str, ...]) -> None:
    z, p, old_z, old_p = tensors()
    axis, direction, similarity, reduction = form
    loss = RelationDistillation(0.2, axis, direction, similarity, reduction)  # type: ignore[arg-type]
    draw = generator(0, "test order", 0)
    rows, columns = torch.randperm(len(z), generator=draw), torch.randperm(len(p), generator=draw)
    renamed = torch.tensor([2, 0, 1, -1])[TASKS]  # -1 finds the last
    moved = loss(z[rows], p[columns], old_z[rows], old_p[columns], renamed[columns])
    torch.testing.assert_close(moved, loss(z, p, old_z, old_p, TASKS))


def test_lengths_count_only_where_they_should() -> None:
    z, p, old_z, old_p = tensors()
    cosine_form = relation_distillation(z, p, old_z, old_p, TASKS)
    torch.testing.assert_close(relation_distillation(3 * z, 5 * p, old_z, 0.2 * old_p, TASKS), cosine_form)
    form = {"similarity": "projection", "axis": "classes"}
    public = relation_distillation(z, p, old_z, old_p, TASKS, **form)  # type: ignore[arg-type]
    longer = relation_distillation(z, 5 * p, old_z, 0.2 * old_p, TASKS, **form)  # type: ignore[arg-type]
    torch.testing.assert_close(longer, public)
    stretched = relation_distillation(3 * z, p, old_z, old_p, TASKS, **form)  # type: ignore[arg-type]
    assert (stretched - public).abs() > 0.1 * public


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", ["nothing old", "one image", "all equal", "all zero", "bfloat16", "float16"])
def test_degenerate_relations(form: tuple[str, ...], case: str) -> None:
    axis, direction, similarity, reduction = form
    loss = RelationDistillation(0.1, axis, direction, similarity, reduction)  # type: ignore[arg-type]
    z, p, old_z, old_p = (tensor.float() for tensor in tensors())
    tasks = torch.full_like(TASKS, -1) if case == "nothing old" else TASKS
    if case == "one image":
        z, old_z = z[:1], old_z[:1]
    if case == "all equal":
        z, old_z = z[:1].expand(6, -1).clone(), old_z[:1].expand(6, -1).clone()
    if case == "all zero":
        z, p = torch.zeros_like(z), torch.zeros_like(p)
    if case == "bfloat16":
        z, p = 1e9 * z.bfloat16(), 1e9 * p.bfloat16()
    if case == "float16":
        z, p = z.half().sign() * 65504, p.half().sign() * 65504
    z.requires_grad_(), p.requires_grad_()
    value = loss(z, p, old_z, old_p, tasks)
    value.backward()
    assert value.isfinite() and value.dtype == torch.float32
    for tensor in (z, p):
        assert tensor.grad is not None and tensor.grad.isfinite().all()
    if case == "nothing old" or (axis == "samples" and case in ("one image", "all equal")):
        assert value.item() == pytest.approx(0, abs=1e-5)


def test_a_temperature_must_be_above_zero() -> None:
    with pytest.raises(InputError, match=r"continual.relation.temperature=0 must be"):
        RelationDistillation(temperature=0)


def test_attraction_is_the_mean_cosine_and_moves_prototypes_alone() -> None:
    z, p, _, _ = (tensor.requires_grad_() for tensor in tensors())
    labels = torch.tensor([3, 0, 3, 5, 0, 0])
    value = prototype_attraction(z, labels, p)
    naive = -fmean(cosine(p[y].tolist(), z[i].tolist()) for i, y in enumerate(labels.tolist()))
    assert value.item() == pytest.approx(naive, rel=1e-12)
    value.backward()
    assert z.grad is None
    assert p.grad is not None
    assert torch.equal(p.grad.abs().sum(1) > 0, torch.tensor([1, 0, 0, 1, 0, 1, 0]).bool())
    assert torch.autograd.gradcheck(lambda w: prototype_attraction(z, labels, w), (p,))
    order = torch.tensor([2, 0, 5, 1, 4, 3])
    torch.testing.assert_close(prototype_attraction(z[order], labels[order], p), value)
    torch.testing.assert_close(prototype_attraction(7 * z, labels, 0.1 * p), value)


@pytest.mark.parametrize("scale", [0.0, 1e-8, 1e6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_degenerate_attraction(scale: float, dtype: torch.dtype) -> None:
    z, p, _, _ = ((scale * tensor).to(dtype).requires_grad_() for tensor in tensors())
    value = prototype_attraction(z, torch.zeros(6, dtype=torch.int64), p)
    value.backward()
    assert value.isfinite() and p.grad is not None and p.grad.isfinite().all()


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_logits_distil_within_their_groups(temperature: float) -> None:
    draw = generator(0, "test logits", 0)
    new, old = (3 * torch.randn(5, len(TASKS), generator=draw, dtype=torch.float64) for _ in range(2))
    each = []
    for i in range(5):
        for task in (0, 1, 2):
            members = [k for k, name in enumerate(TASKS.tolist()) if name == task]
            before = naive_softmax([old[i, k].item() / temperature for k in members])
            each.append(naive_kl(before, naive_softmax([new[i, k].item() / temperature for k in members])))
    new.requires_grad_(), old.requires_grad_()
    value = logit_distillation(new, old, TASKS, temperature=temperature)
    assert value.item() == pytest.approx(temperature**2 * sum(each) / 5, rel=1e-10)
    assert torch.autograd.gradcheck(lambda x: logit_distillation(x, old, TASKS, temperature=2.0), (new,))
    value.backward()
    assert old.grad is None
    none = logit_distillation(new, old, torch.full_like(TASKS, -1))
    assert none.item() == 0


def test_extreme_logits_distil_to_something_finite() -> None:
    for scale in (1e4, 1e30):
        new = (scale * torch.eye(7)).requires_grad_()
        value = logit_distillation(new, -new.detach(), TASKS)
        value.backward()
        assert value.isfinite() and new.grad is not None and new.grad.isfinite().all()


def test_groups_are_softmaxes_and_are_counted() -> None:
    logits = torch.randn(3, 7, generator=generator(0, "test groups", 0), dtype=torch.float64)
    found = grouped_log_softmax(logits, TASKS)
    for task in (0, 1, 2):
        members = task == TASKS
        torch.testing.assert_close(found[:, members], logits[:, members].log_softmax(1))
    assert found.isfinite().all()
    assert [int(number_of_groups(t)) for t in (TASKS, TASKS * 0 - 1, TASKS * 0)] == [3, 0, 1]
