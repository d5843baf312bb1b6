"""Losses run in float32 or better, whatever precision the backbone ran in.

Squared distances of embeddings cancel, and exponentials of them are taken: 8 bits of mantissa are too few.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def full_precision(loss: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Makes a function of tensors leave autocast and see bfloat16 and float16 arguments as float32.

    float32 and float64 arguments, labels and numbers pass unchanged.
    """

    @wraps(loss)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        device = next(a.device.type for a in (*args, *kwargs.values()) if isinstance(a, Tensor))
        lifted: Any = [_lift(a) for a in args]
        named: Any = {key: _lift(a) for key, a in kwargs.items()}
        with torch.autocast(device, enabled=False):
            return loss(*lifted, **named)

    return run


def _lift(argument: object) -> object:
    if isinstance(argument, Tensor) and argument.dtype in (torch.bfloat16, torch.float16):
        return argument.float()
    return argument
