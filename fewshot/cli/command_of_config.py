"""From the config of a run back to the words that make it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from fewshot.as_typed import typed
from fewshot.cli.conf_folder import ConfFolder
from fewshot.cli.preview import EVERYTHING, Preview, preview
from fewshot.tracking.flatten import Leaf, flatten

_BESIDE = ("choices", "resume", "report")
"""Keys that are no part of what was trained."""


def words_and_differences(
    config: Mapping[str, Any], conf: ConfFolder, program: str = "train"
) -> tuple[list[str], list[tuple[str, str, str]]]:
    """The words of the command line that make a config, and (key, value, default) of its options.

    Choices come first, then options; what a chosen recipe or experiment sets is no word.

    Args:
        config: as a run saved it.
        conf: where the YAML is.
        program: train or eval.
    """
    choices = {str(k): str(v) for k, v in (config.get("choices") or {}).items() if v is not None}
    seen = preview(conf, program, {})
    words: list[str] = []
    chosen: dict[str, str] = {}
    opened: set[str] = set()
    # An experiment may choose the recipe, and both may choose every other part.
    for group in ("experiment", "recipe", *sorted(choices)):
        choice = choices.get(group)
        if choice is None or group in chosen or seen.choices.get(group) == choice:
            continue
        if group in seen.choices:
            chosen[group] = choice
            if choice in conf.choices(group):
                seen = preview(conf, program, chosen)
            else:  # a file of another folder
                opened.add(group)
        words.append(f"{group}={choice}")
    for group in seen.choices:
        # Of several choices at once Hydra records none; each has a key of its own in the group.
        names = config.get(group)
        if (
            group not in choices
            and names
            and isinstance(names, Mapping)
            and {*names} <= {*conf.choices(group)}
        ):
            words.append(f"{group}={typed(list(names))}")
            opened.add(group)
    seen.open |= opened
    differences = _differences(config, seen)
    told = [f"{key}={value}" for key, value, _ in differences]
    return [*words, *told], differences


def command_line(words: list[str], script: str = "train.py") -> str:
    """What to type in a shell."""
    return " ".join(["python", script, *(shlex.quote(word) for word in words)])


def _differences(config: Mapping[str, Any], seen: Preview) -> list[tuple[str, str, str]]:
    if seen.is_open(EVERYTHING):
        return []
    defaults = flatten(seen.values)
    found = []
    for key, value in flatten({k: v for k, v in config.items() if k not in _BESIDE}).items():
        if key.endswith("_target_") or seen.is_open(key):
            continue
        default = _resolved(defaults.get(key), config)
        if value != default:
            found.append((key, typed(value), typed(default)))
    return found


def _resolved(default: Leaf, config: Mapping[str, Any]) -> Leaf:
    """A default that follows another key (`${ways}`) as that key stands in the config."""
    match = re.fullmatch(r"\$\{([\w.]+)\}", default) if isinstance(default, str) else None
    if match is None:
        return default
    return flatten(config).get(match[1])
