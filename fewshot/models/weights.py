"""Saved weights into a network: everything fits, or one line names what does not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from fewshot.errors import InputError


def load_weights(
    network: nn.Module, state: Mapping[str, Tensor], strict: bool = True, place: str = "the saved weights"
) -> None:
    """Copies `state` into the parameters and buffers of the same names, all of them or none.

    Args:
        network: an `Embedder`, its backbone alone, or any module.
        state: a state_dict.
        strict: False lets keys be missing or unexpected, as long as one at least fits; shapes never differ.
        place: what the error calls the origin of `state`, e.g. a file.

    Raises:
        InputError: another architecture; names the first keys or shapes that differ.
    """
    check_fit(network, state, strict, place)
    network.load_state_dict(dict(state), strict=strict)


def check_fit(
    network: nn.Module, state: Mapping[str, Tensor], strict: bool = True, place: str = "the saved weights"
) -> None:
    """As `load_weights`, of a network on any device, and copies nothing."""
    own = network.state_dict()
    differing = [
        f"{key} is {list(state[key].shape)} there and {list(own[key].shape)} here"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    if differing:
        raise _mismatch(network, place, differing)
    missing = [f"{key} is missing there" for key in own if key not in state]
    unexpected = [f"{key} is unknown here" for key in state if key not in own]
    if (strict and (missing or unexpected)) or len(missing) == len(own):
        # One of each kind first: together they show a renamed key for what it is.
        raise _mismatch(network, place, [*missing[:1], *unexpected[:1], *missing[1:], *unexpected[1:]])


def read_state(file: Path) -> dict[str, Tensor]:
    """The state_dict in a .safetensors or torch file, on the CPU; nothing but tensors is ever unpickled.

    Raises:
        InputError: not a readable file of named tensors.
    """
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(file)
        saved = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever the reader meets in a damaged or foreign file
        raise InputError(f"{file} cannot be read as saved weights: {type(error).__name__}") from error
    if isinstance(saved, dict) and isinstance(saved.get("state_dict"), dict):
        saved = saved["state_dict"]
    if not isinstance(saved, dict) or not all(isinstance(value, Tensor) for value in saved.values()):
        raise InputError(f"{file} holds no state_dict; save one with torch.save(network.state_dict(), PATH)")
    return saved


def _mismatch(network: nn.Module, place: str, differing: list[str]) -> InputError:
    more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
    return InputError(
        f"{place} do not fit {type(network).__name__}: {'; '.join(differing[:3])}{more}; "
        "use the backbone and head settings they were saved with"
    )
