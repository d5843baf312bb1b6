"""Whether a checkpoint claims more than it holds, asked before torch reads it.

`weights_only` runs no code, but it believes a file: a few bytes can claim gigabytes or crash the interpreter.
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from fewshot.data.plain_unpickler import ForbiddenGlobal, PlainUnpickler

_STRUCTURE = "data.pkl"


def check_claims(path: Path) -> None:
    """Read the sums of a checkpoint and its structure, without its tensors.

    Raises:
        ValueError: a byte has changed, or it claims more than it holds.
        Exception: whatever else a damaged archive or pickle raises.
    """
    with zipfile.ZipFile(path) as archive:
        # torch writes its members as they are; together they cannot be larger than the file.
        if sum(member.file_size for member in archive.infolist()) > path.stat().st_size:
            raise ValueError("it unpacks to more than it holds")
        # torch does not look at the sums that stand in the file: a changed byte would be another weight.
        if (changed := archive.testzip()) is not None:
            raise ValueError(f"{changed} in it is not what was written")
        for member in archive.infolist():
            if member.filename.rpartition("/")[2] == _STRUCTURE:
                content = archive.read(member)
                _Structure(io.BytesIO(content), len(content)).load()


class _Structure(PlainUnpickler):
    """Of what torch would make, nothing is made; what it refuses is left to it."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        try:
            return super().find_class(module, name)
        except ForbiddenGlobal:
            return _anything

    def persistent_load(self, pid: Any) -> Any:
        return pid

    def load_build(self) -> None:
        self.stack.pop()  # such as the versions of modules that a state_dict carries

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        **PlainUnpickler.dispatch,
        pickle.BUILD[0]: load_build,
    }


def _tensor(storage: tuple[Any, ...], offset: int, size: tuple[int, ...], *_: Any) -> None:
    if math.prod(size) > storage[-1]:
        raise ValueError(f"a tensor {list(size)} in it has more elements than its storage")


def _anything(*_: Any) -> None:
    return None
