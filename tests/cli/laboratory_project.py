"""A small project of its own: a conf folder, a package with a recipe, and a program to run them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from fewshot.cli import launch
from fewshot.cli.program import Program

FILES = {
    "conf/train.yaml": """
        defaults:
          - recipe: plain
          - loss: prototypical
          - sampler: episodes
          - data: null
          - _self_
          - experiment: none

        ways: 5              # classes in an episode
        shots: 1
        rate: 0.1
        name: null
        output_dir: runs
        validation:
          every: 250         # steps
        """,
    "conf/recipe/plain.yaml": "_target_: laboratory.recipe\n",
    "conf/loss/prototypical.yaml": "_target_: laboratory.Prototypical\ntemperature: 1.0\n",
    "conf/loss/icnn.yaml": """
        # Nearest neighbours.
        _target_: laboratory.ICNN
        k: 4    # neighbours
        variant: full
        """,
    "conf/data/cub.yaml": "size: 84\n",
    "conf/sampler/episodes.yaml": "ways: ${ways}\nshots: ${shots}\n",
    "conf/experiment/none.yaml": "# nothing\n",
    "conf/experiment/paper.yaml": """
        # @package _global_
        defaults:
          - override /loss: icnn
        ways: 20
        loss:
          k: 7
        """,
    "conf/experiment/wrong.yaml": "# @package _global_\nways: twenty\n",
    "conf/experiment/lost.yaml": "# @package _global_\nname: ${nowhere}\n",
    "conf/experiment/open.yaml": "# @package _global_\nneeded: ???\n",
    "conf/sweep/search.yaml": "method: grid\n",
    "laboratory.py": """
        from __future__ import annotations
        import os, pathlib
        from fewshot.errors import InputError
        from fewshot.training.stopping import Stopped

        calls = []

        class Prototypical:
            def __init__(self, temperature: float = 1.0) -> None: ...

        class ICNN:
            def __init__(self, k: int = 4, variant: str = "full") -> None: ...

        def recipe(config):
            calls.append(config)
            if config.name == "mistake":
                raise InputError("class a\\nhas \\x1b[31mtoo few images")
            if config.name == "bug":
                raise ZeroDivisionError("a bug")
            if config.name == "stop":
                raise KeyboardInterrupt
            if config.name == "terminated":
                raise Stopped(15, "saved at step 3")
            if config.name == "leave":
                raise SystemExit(143)
            return 0.5
        """,
}


@dataclass(frozen=True)
class ValidationSchema:
    every: int


@dataclass(frozen=True)
class Schema:
    ways: int
    shots: int | list[int]
    rate: float
    name: str | None
    output_dir: str
    validation: ValidationSchema


@dataclass
class Laboratory:
    """`run(words)` returns the exit status; `calls` are the configs that the recipe got."""

    folder: Path
    program: Program
    calls: list[object] = field(default_factory=list)

    def run(self, *words: str) -> int:
        return launch.main(self.program, ["trust=[laboratory]", *words])
