"""In what the configs of several runs differ, and how each is called by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig

from fewshot.config import plain
from fewshot.tracking.flatten import Leaf, flatten

_BESIDE = ("name", "output_dir", "device", "threads", "allocator", "resume", "tracking", "report", "choices")
"""Keys that change nothing of what is learned, and choices, whose nodes are compared themselves."""

_LONGEST = 70


def settings_of(config: DictConfig) -> dict[str, Leaf]:
    """What is learned and how, as one level of dotted keys, without the training seed.

    A nested seed that follows the run's own (`continual.seed`) is left out with it.
    """
    values = plain(config)
    flat = flatten({key: value for key, value in values.items() if key not in (*_BESIDE, "seed")})
    return {k: v for k, v in flat.items() if not (k.endswith(".seed") and v == values.get("seed"))}


def choices_of(config: DictConfig) -> dict[str, str]:
    """Group -> choice, of groups that have one."""
    choices = config.get("choices") or {}
    return {str(group): str(choice) for group, choice in choices.items() if choice is not None}


def differing(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys whose values are not the same in all rows, in the order in which they come."""
    keys = dict.fromkeys(key for row in rows for key in row)
    return [key for key in keys if _differs(key, rows)]


def differences(
    settings: Sequence[Mapping[str, Leaf]], choices: Sequence[Mapping[str, str]]
) -> list[dict[str, Leaf]]:
    """In what each run differs from the others, as it would be typed.

    A choice stands for all options of its group; an option is told beside it where two runs with the same
    choice differ in it.

    Args:
        settings: of each run, see `settings_of`.
        choices: of each run, see `choices_of`.
    """
    keys = differing(settings)
    groups = {key.split(".")[0] for key in keys}
    chosen = [g for g in differing(choices) if g in groups and g not in ("experiment", "recipe")]
    found: list[dict[str, Leaf]] = []
    for own, choice in zip(settings, choices, strict=True):
        told: dict[str, Leaf] = {group: choice.get(group) for group in chosen}
        for key in keys:
            group = key.split(".")[0]
            alike = [
                other
                for other, theirs in zip(settings, choices, strict=True)
                if group not in chosen or theirs.get(group) == choice.get(group)
            ]
            if key in own and _differs(key, alike):
                told[key] = own[key]
        found.append(told)
    return found


def _differs(key: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    return any(key not in row for row in rows) or any(row[key] != rows[0][key] for row in rows)


def label(told: Mapping[str, Leaf], otherwise: str) -> str:
    """`loss=icnn, loss.k=8`; `otherwise` where that says nothing or too much to read."""
    text = ", ".join(f"{key}={shown(value)}" for key, value in told.items())
    return text if 0 < len(text) <= _LONGEST else otherwise


def shown(value: Any) -> str:
    """A value as a label shows it: without the quotes that the command line may want."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return "[" + ",".join(map(shown, value)) + "]" if isinstance(value, list) else str(value)
