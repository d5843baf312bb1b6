"""A JSON card beside a safetensors file: what can be given to others without a pickle in it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

import fewshot
from fewshot.errors import InputError
from fewshot.whole_file import whole_file, write_whole

FORMAT = 1
_MOST_BYTES = 256 << 20
"""Of a card; class names and file names are all that grows in one."""


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Write a safetensors file, whole or not at all.

    Returns:
        its SHA-256.

    Raises:
        InputError: the file cannot be written.
    """
    # Copies, since tensors that share memory (tied weights) are refused by the format.
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    data = save(plain)
    try:
        with whole_file(path) as file:
            file.write(data)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    return hashlib.sha256(data).hexdigest()


def load_tensors(path: Path, sha256: object, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """Read a safetensors file whose sum a card names.

    Raises:
        InputError: it is not there, damaged, or another file than the card's.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); it belongs beside its card") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise InputError(f"{path} is damaged or not the file that its card was written with (sha256 differs)")
    try:
        tensors: dict[str, Tensor] = load(data)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no safetensors file: {str(error).splitlines()[0]}") from error
    return {name: tensor.to(device) for name, tensor in tensors.items()}


def save_card(path: Path, kind: str, told: Mapping[str, Any]) -> None:
    """Write a card, whole or not at all; `kind`, `format` and the version of this package are added.

    Raises:
        InputError: the file cannot be written.
    """
    content = {"kind": kind, "format": FORMAT, "version": fewshot.__version__, **told}
    try:
        write_whole(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error


def load_card(path: Path, kind: str) -> dict[str, Any]:
    """Read a card of that kind.

    Raises:
        InputError: not there, damaged, of another kind, or of another version's format.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{path} is too large to be a card")
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged: it is no JSON ({type(error).__name__})") from error
    if not isinstance(content, dict) or content.get("kind") != kind:
        raise InputError(f"{path} is no card of a {kind}")
    if content.get("format") != FORMAT:
        raise InputError(
            f"{path} has format {content.get('format')!r}, this version reads {FORMAT}; "
            "use the version of the package that wrote it, or write it anew"
        )
    return content


def required(content: Mapping[str, Any], path: Path, **types: type) -> list[Any]:
    """The entries of a card that these keywords name, each of its type.

    Raises:
        InputError: one is missing or of another type.
    """
    for key, wanted in types.items():
        value = content.get(key)
        if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
            raise InputError(f"{path} is damaged: {key!r} is not there or no {wanted.__name__}")
    return [content[key] for key in types]
