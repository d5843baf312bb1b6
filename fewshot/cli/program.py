"""What tells `train` from `eval`: a program that Hydra configures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from omegaconf import DictConfig


@dataclass(frozen=True)
class Program:
    """Attributes:
    name: of the program and of its primary config in `conf/`.
    summary: one line for `--help`.
    schema: dataclass with the types of the config's keys outside groups.
    recipe: dotted name of the function that is called with the config, unless `recipe._target_` says.
    examples: (arguments, what they do) for `--help`.
    instead: called with the config in place of its recipe.
    """

    name: str
    summary: str
    schema: type
    recipe: str
    examples: tuple[tuple[str, str], ...]
    instead: Callable[[DictConfig], Any] | None = None
