"""Checkpoints that are whole or not there.

A checkpoint is a dict of tensors, numbers, strings, lists and dicts, so that it loads with
`weights_only`: loading one never runs code.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO, cast

import torch

from fewshot.errors import InputError
from fewshot.training.checkpoint_claims import check_claims
from fewshot.whole_file import whole_file

FORMAT = 1


def save(path: Path, content: dict[str, Any], *, keep_previous: bool = False) -> None:
    """Write a checkpoint so that `path` holds either the old or the new one, whole.

    Args:
        path: of the file.
        content: of the checkpoint; `format` is added.
        keep_previous: keep the file that is replaced beside it, as `NAME.previous`.

    Raises:
        InputError: the disk is full or the folder cannot be written; the old file is untouched.
    """
    previous = path.with_name(f"{path.name}.previous") if keep_previous else None
    try:
        with whole_file(path, keep_replaced=previous) as file:
            writer = _Writer(file)
            try:
                torch.save({"format": FORMAT, **content}, cast(BinaryIO, writer))
            except RuntimeError as problem:
                # torch's zip writer hides what happened, such as a full disk, behind an error of its own.
                raise writer.failure or problem from problem
    except (OSError, RuntimeError) as problem:
        raise InputError(
            f"cannot write checkpoint {path}: {_first_line(problem)}; free space or choose output_dir="
        ) from problem


class _Writer:
    """Passes bytes on to a file and keeps the error that it raised."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.failure: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self.file.write(data)
        except OSError as failure:
            self.failure = failure
            raise

    def flush(self) -> None:
        self.file.flush()


def load(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint.

    Raises:
        InputError: no such file, damaged, not a checkpoint of this project, or of a later version.
    """
    try:
        check_claims(path)
        content = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError as problem:
        raise InputError(f"there is no checkpoint {path}") from problem
    except Exception as problem:  # whatever the reader meets in a damaged or foreign file
        raise InputError(
            f"checkpoint {path} is damaged or not a checkpoint: {_first_line(problem)}"
        ) from problem
    if not isinstance(content, dict) or type(content.get("format")) is not int:
        raise InputError(
            f"{path} is not a checkpoint of this project; use backbone=timm backbone.weights=FILE for weights"
        )
    if content["format"] > FORMAT:
        raise InputError(
            f"{path} was written by a later version (format {content['format']}); update the package"
        )
    return content


def load_last(folder: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """The newest whole checkpoint of a run: `last.pt`, else the one before it.

    Raises:
        InputError: neither can be read.
    """
    last, previous = folder / "last.pt", folder / "last.pt.previous"
    try:
        return load(last, device)
    except InputError:
        if not previous.exists():
            raise
        return load(previous, device)


def _first_line(problem: Exception) -> str:
    return (str(problem).strip().splitlines() or [type(problem).__name__])[0][:200]
