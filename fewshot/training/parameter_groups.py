"""What an optimizer is given: proxies and the like learn at a rate of their own."""

from __future__ import annotations

from typing import Any

from torch import nn


def parameter_groups(objective: nn.Module, lr: float) -> list[dict[str, Any]]:
    """The trained parameters of an objective as groups for a torch optimizer.

    A submodule with an attribute `lr_scale`, a float, has a group of its own at the rate `lr * lr_scale`;
    with an attribute `weight_decay` or `momentum` that is not None, that too is the group's. Within it a
    nested submodule with its own `lr_scale` stands apart. Everything else is the first group, in the order of
    `objective.parameters()`, at the optimizer's own rate and decay. A schedule multiplies the rate of each
    group, so the scale holds all the way, except that cosine's `eta_min` is one number for all.

    Args:
        objective: its parameters that require no gradient are left out.
        lr: the optimizer's rate.
    """
    owner: dict[nn.Parameter, nn.Module] = {}
    for module in objective.modules():  # parents first, so that the innermost has the last word
        if getattr(module, "lr_scale", None) is not None:
            owner.update(dict.fromkeys(module.parameters(), module))
    rest: list[nn.Parameter] = []
    apart: dict[nn.Module, list[nn.Parameter]] = {}
    for parameter in objective.parameters():
        if parameter.requires_grad:
            own = apart.setdefault(owner[parameter], []) if parameter in owner else rest
            own.append(parameter)
    groups: list[dict[str, Any]] = [{"params": rest}]
    for module, parameters in apart.items():
        groups.append({"params": parameters, "lr": lr * float(module.lr_scale)})  # type: ignore[arg-type]
        for option in ("weight_decay", "momentum"):
            if getattr(module, option, None) is not None:
                groups[-1][option] = getattr(module, option)
    return groups
