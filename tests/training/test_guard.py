from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from fewshot.errors import InputError
from fewshot.training.guard import StepGuard

OPTIMIZERS: list[tuple[type[torch.optim.Optimizer], dict[str, Any]]] = [
    (torch.optim.Adam, {"lr": 0.1}),
    (torch.optim.AdamW, {"lr": 0.1, "weight_decay": 0.1}),
    (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}),
]


def run(
    kind: type[torch.optim.Optimizer], options: dict[str, Any], bad: set[int], fused: bool
) -> torch.Tensor:
    """Ten steps on a quadratic, some with a gradient that is not finite; the weights in the end."""
    model = nn.Linear(4, 3)
    with torch.no_grad():
        model.weight.copy_(torch.arange(12.0).reshape(3, 4) / 12)
        model.bias.zero_()
    optimizer = kind(model.parameters(), **options, fused=fused)
    guard = StepGuard(model, abort_after=99, device=torch.device("cpu"))
    for step in range(10):
        guard.remember()
        loss = model(torch.full((2, 4), float(step % 3))).square().mean()
        optimizer.zero_grad()
        loss.backward()
        if step in bad:
            model.weight.grad[0, 0] = float("inf") if step % 2 else float("nan")
        guard.step(optimizer, loss, clip_norm=1.0)
    assert guard.check(10) == len(bad)
    return model.weight.detach()


@pytest.mark.parametrize("kind,options", OPTIMIZERS)
def test_the_path_that_never_waits_equals_the_one_that_does(
    kind: type[torch.optim.Optimizer], options: dict[str, Any]
) -> None:
    for bad in (set(), {0}, {2, 3, 7}):
        waiting, fused = (run(kind, options, bad, fused) for fused in (False, True))
        assert torch.isfinite(fused).all()
        assert torch.allclose(waiting, fused, atol=1e-6), bad


@pytest.mark.parametrize("fused", [False, True])
def test_a_skipped_step_changes_nothing_at_all(fused: bool) -> None:
    """Adam would otherwise move on by its momentum, and SGD decay the weights."""
    for kind, options in OPTIMIZERS:
        assert not torch.equal(run(kind, options, set(range(5, 10)), fused), run(kind, options, set(), fused))
        five = run(kind, options, set(range(5, 10)), fused)
        six = run(kind, options, {*range(5, 10)} | {4}, fused)
        assert not torch.equal(five, six)


def test_good_steps_end_a_row() -> None:
    model = nn.Linear(1, 1)
    guard = StepGuard(model, abort_after=3, device=torch.device("cpu"))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for finite in (False, False, True, False, False):
        model.weight.grad = torch.full((1, 1), 1.0 if finite else float("nan"))
        model.bias.grad = torch.zeros(1)
        guard.remember()
        guard.step(optimizer, torch.tensor(1.0), None)
    assert guard.check(5) == 4
    model.weight.grad = torch.full((1, 1), float("nan"))
    guard.step(optimizer, torch.tensor(1.0), None)
    with pytest.raises(InputError, match="3 steps in a row"):
        guard.check(6)


def test_a_loss_that_is_not_finite_is_skipped_though_its_gradient_is() -> None:
    model = nn.Linear(1, 1)
    before = model.weight.detach().clone()
    guard = StepGuard(model, abort_after=3, device=torch.device("cpu"))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model.weight.grad, model.bias.grad = torch.ones(1, 1), torch.ones(1)
    guard.step(optimizer, torch.tensor(float("inf")), None)
    assert torch.equal(model.weight, before) and guard.check(1) == 1


def test_counts_survive_a_checkpoint() -> None:
    guard = StepGuard(nn.Linear(1, 1), abort_after=3, device=torch.device("cpu"))
    guard.load_state_dict({"skipped": 5, "in_a_row": 2})
    assert guard.state_dict() == {"skipped": 5, "in_a_row": 2}


class Memory(nn.Module):
    """Buffers of several types that each forward writes in place, as a memory of past batches does."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.register_buffer("embeddings", torch.zeros(4, 2))
        self.register_buffer("labels", torch.full((4,), -1))
        self.register_buffer("full", torch.zeros(4, dtype=torch.bool))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))

    def forward(self, value: float) -> torch.Tensor:
        place = int(self.pointer)
        self.embeddings[place] = value
        self.labels[place] = int(10 * value) if value == value else 99
        self.full[place] = True
        self.pointer.add_(1).remainder_(4)
        return (self.weight * value).sum()


def test_a_skipped_step_puts_back_buffers_of_every_type_together() -> None:
    model = Memory()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    guard = StepGuard(model, abort_after=9, device=torch.device("cpu"))
    for value in (0.1, float("nan"), 0.2, float("nan"), float("nan"), 0.3):
        guard.remember()
        optimizer.zero_grad()
        loss = model(value)
        loss.backward()
        guard.step(optimizer, loss, None)
    assert guard.check(6) == 3
    assert model.labels.tolist() == [1, 2, 3, -1] and model.full.tolist() == [True, True, True, False]
    assert int(model.pointer) == 3
    torch.testing.assert_close(model.embeddings[:, 0], torch.tensor([0.1, 0.2, 0.3, 0.0]))


@pytest.mark.parametrize("kind,options", OPTIMIZERS)
@pytest.mark.parametrize("bad", [{3}, {4}, {3, 4, 5}, {4, 6}])
def test_a_parameter_that_begins_later_is_safe_from_steps_that_are_not_finite(
    kind: type[torch.optim.Optimizer], options: dict[str, Any], bad: set[int]
) -> None:
    """The bias begins at step 4; fused SGD knows no group with momenta for some of its parameters only."""

    def trained(fused: bool) -> list[torch.Tensor]:
        model = nn.Linear(4, 3)
        with torch.no_grad():
            model.weight.copy_(torch.arange(12.0).reshape(3, 4) / 12)
            model.bias.fill_(0.5)
        optimizer = kind(model.parameters(), **options, fused=fused)
        guard = StepGuard(model, abort_after=99, device=torch.device("cpu"))
        for step in range(8):
            model.bias.requires_grad_(step >= 4)
            guard.remember()
            loss = model(torch.full((2, 4), float(step % 3))).square().mean()
            optimizer.zero_grad()
            loss.backward()
            if step in bad:
                model.weight.grad[0, 0] = float("nan")
            guard.step(optimizer, loss, clip_norm=1.0)
            assert (model.bias.grad is not None) == (step >= 4)
        return [model.weight.detach(), model.bias.detach()]

    for waiting, fused in zip(trained(False), trained(True), strict=True):
        assert torch.isfinite(fused).all()
        torch.testing.assert_close(waiting, fused, atol=1e-6, rtol=1e-6)
