"""What tells `train` from `eval`: a program that Hydra configures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Program:
    """Attributes:
    name: of the program and of its primary config in `conf/`.
    summary: one line for `--help`.
    schema: dataclass with the types of the config's keys outside groups.
    recipe: dotted name of the function that is called with the config, unless `recipe._target_` says.
    examples: (arguments, what they do) for `--help`.
    """

    name: str
    summary: str
    schema: type
    recipe: str
    examples: tuple[tuple[str, str], ...]
