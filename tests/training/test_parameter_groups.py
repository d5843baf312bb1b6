"""Rates and decays of their own for proxies and the like, with torch's optimizers and schedulers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fewshot.training.parameter_groups import parameter_groups
from fewshot.training.schedule import Schedule

OPTIMIZERS: list[tuple[type[torch.optim.Optimizer], dict[str, Any]]] = [
    (torch.optim.AdamW, {"weight_decay": 0.1}),
    (torch.optim.SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
]


class Proxies(nn.Module):
    def __init__(
        self, lr_scale: float | None, weight_decay: float | None = None, momentum: float | None = None
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.arange(6.0).reshape(2, 3))
        self.lr_scale = lr_scale
        self.weight_decay = weight_decay
        self.momentum = momentum


def objective(loss: nn.Module) -> nn.ModuleDict:
    torch.manual_seed(0)
    return nn.ModuleDict({"embedder": nn.Linear(4, 3), "loss": loss, "head": nn.Linear(3, 2)})


def test_without_a_scale_there_is_one_group_in_the_present_order() -> None:
    for loss in (nn.Linear(2, 2), Proxies(None)):
        made = objective(loss)
        (group,) = parameter_groups(made, 0.1)
        assert list(group) == ["params"]
        assert [id(p) for p in group["params"]] == [id(p) for p in made.parameters()]


def test_a_scaled_submodule_stands_apart() -> None:
    made = objective(Proxies(100.0, weight_decay=0.0))
    made["head"].bias.requires_grad_(False)
    rest, proxies = parameter_groups(made, 0.01)
    assert rest == {"params": [made["embedder"].weight, made["embedder"].bias, made["head"].weight]}
    assert proxies == {"params": [made["loss"].weight], "lr": 1.0, "weight_decay": 0.0}
    assert "weight_decay" not in parameter_groups(objective(Proxies(100.0)), 0.01)[1]


def test_a_group_may_have_a_momentum_of_its_own() -> None:
    """None, as PRD's prototypes: with SGD's Nesterov momentum for all else it is plain gradient descent."""
    made = objective(Proxies(1.0, weight_decay=0.0, momentum=0.0))
    groups = parameter_groups(made, 0.1)
    assert groups[1]["momentum"] == 0.0
    before = made["loss"].weight.detach().clone()
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.5)
    for _ in range(3):
        for parameter in made.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
    torch.testing.assert_close(made["loss"].weight.detach(), before - 0.3)


def test_the_innermost_scale_counts_and_a_shared_parameter_is_stepped_once() -> None:
    outer = Proxies(10.0)
    outer.inner = Proxies(2.0)
    outer.also = nn.Linear(2, 2)
    made = objective(outer)
    made["tied"] = nn.ParameterList([made["embedder"].weight])
    groups = parameter_groups(made, 0.5)
    assert [group.get("lr") for group in groups] == [None, 5.0, 1.0]
    assert [len(group["params"]) for group in groups] == [4, 3, 1]
    torch.optim.SGD(groups, lr=0.5)  # refuses a parameter in two groups


@pytest.mark.parametrize("kind,options", OPTIMIZERS)
@pytest.mark.parametrize("scheduler", ["cosine", "step", "none"])
def test_each_group_equals_an_optimizer_of_its_own(
    kind: type[torch.optim.Optimizer], options: dict[str, Any], scheduler: str
) -> None:
    """Rates, decay and schedule of the two groups, over steps with warm-up, against two plain optimizers."""
    lr = 0.01

    def schedule(optimizer: torch.optim.Optimizer) -> Schedule:
        made = {
            "cosine": lambda: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=12),
            "step": lambda: torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5),
            "none": lambda: None,
        }[scheduler]()
        return Schedule(optimizer, made, "epoch" if scheduler == "step" else "step", 4, steps_per_epoch=5)

    def steps(model: nn.ModuleDict, optimizers: list[torch.optim.Optimizer]) -> list[Tensor]:
        schedules = [schedule(optimizer) for optimizer in optimizers]
        for step in range(12):
            for parameter in model.parameters():
                parameter.grad = torch.sin(parameter.detach() + step)
            for optimizer, made in zip(optimizers, schedules, strict=True):
                optimizer.step()
                made.finished(step + 1)
        return list(model.parameters())

    together = objective(Proxies(20.0, weight_decay=0.3))
    one = steps(together, [kind(parameter_groups(together, lr), lr=lr, **options)])
    apart = objective(Proxies(20.0))
    proxies = apart["loss"].weight
    two = steps(
        apart,
        [
            kind([p for p in apart.parameters() if p is not proxies], lr=lr, **options),
            kind([proxies], lr=20 * lr, **{**options, "weight_decay": 0.3}),
        ],
    )
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert (together["loss"].weight - Proxies(1.0).weight).abs().max() > 0.05


@pytest.mark.parametrize("kind,options", OPTIMIZERS)
def test_one_group_is_what_a_list_of_parameters_was(
    kind: type[torch.optim.Optimizer], options: dict[str, Any]
) -> None:
    made = objective(Proxies(None))
    listed = kind(list(made.parameters()), lr=0.1, **options)
    assert kind(parameter_groups(made, 0.1), lr=0.1, **options).state_dict() == listed.state_dict()
