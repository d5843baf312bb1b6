"""Functions that torch.compile leaves as they are, marked without loading the compiler."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")


def not_compiled(function: Callable[P, R]) -> Callable[P, R]:
    """As `torch.compiler.disable`, which loads the compiler when it is called: 2 seconds of every start."""
    disabled: list[Callable[P, R]] = []

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        # Nothing is being compiled where the compiler has not been loaded.
        if "torch._dynamo" not in sys.modules:
            return function(*args, **kwargs)
        if not disabled:
            disabled.append(torch.compiler.disable(function))  # type: ignore[no-untyped-call]
        return disabled[0](*args, **kwargs)

    # What the compiler looks for before it goes into a function.
    run._torchdynamo_disable = True  # type: ignore[attr-defined]
    return run
