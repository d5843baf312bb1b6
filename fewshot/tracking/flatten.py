"""Nested configuration as one level of dotted names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

Leaf = str | int | float | bool | None | list[object]


def flatten(values: Mapping[str, object], prefix: str = "") -> dict[str, Leaf]:
    """`{"loss": {"k": 4}}` as `{"loss.k": 4}`.

    wandb would let a sweep's `loss: icnn` replace a whole nested `loss`; of dotted names it replaces
    only what is meant. Lists of plain values stay lists; a list that holds mappings is numbered
    (`terms.0.weight`). Paths and other objects become text. Empty mappings leave no trace.
    """
    flat: dict[str, Leaf] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, (list, tuple)) and any(isinstance(item, Mapping) for item in value):
            value = {str(place): item for place, item in enumerate(value)}
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{name}.")
        elif isinstance(value, (list, tuple)):
            flat[name] = [_plain(item) for item in value]
        else:
            flat[name] = _plain(value)
    return flat


def _plain(value: object) -> str | int | float | bool | None:
    """As JSON has it; objects are named, and paths read the same on every system."""
    if isinstance(value, Path):
        return value.as_posix()
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
