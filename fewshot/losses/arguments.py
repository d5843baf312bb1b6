"""Checks of the numbers that a user gives a loss; each names the argument in its error.

A number of another part than the loss comes with its `section` of the config: continual.alpha, say."""

from __future__ import annotations

import math

from fewshot.errors import InputError


def above_zero(section: str = "", /, **argument: float) -> float:
    """The one named number, if it is finite and above 0; else InputError."""
    ((name, value),) = argument.items()
    if not (value > 0 and math.isfinite(value)):
        raise InputError(f"{_named(section, name, value)} must be a finite number above 0")
    return value


def at_least_zero(section: str = "", /, **argument: float) -> float:
    """The one named number, if it is finite and at least 0; else InputError."""
    ((name, value),) = argument.items()
    if not (value >= 0 and math.isfinite(value)):
        raise InputError(f"{_named(section, name, value)} must be a finite number, at least 0")
    return value


def at_least_one(section: str = "", /, **argument: int) -> int:
    """The one named whole number, if it is at least 1; else InputError."""
    ((name, value),) = argument.items()
    if value != int(value) or value < 1:
        raise InputError(f"{_named(section, name, value)} must be a whole number, at least 1")
    return value


def share(section: str = "", /, **argument: float) -> float:
    """The one named number, if it is in [0, 1); else InputError."""
    ((name, value),) = argument.items()
    if not 0 <= value < 1:
        raise InputError(f"{_named(section, name, value)} must be at least 0 and below 1")
    return value


def finite(**argument: float) -> float:
    """The one named number, if it is finite; else InputError."""
    ((name, value),) = argument.items()
    if not math.isfinite(value):
        raise InputError(f"{name}={value} of the loss must be a finite number")
    return value


def _named(section: str, name: str, value: float) -> str:
    return f"{section}.{name}={value}" if section else f"{name}={value} of the loss"
