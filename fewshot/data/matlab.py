"""MATLAB files, read by SciPy, which builds arrays from them and runs nothing."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import scipy.io

from fewshot.errors import InputError

_DAMAGE = (ValueError, TypeError, KeyError, IndexError, OSError, EOFError, NotImplementedError, MemoryError)


def read_variable(content: bytes, variable: str, where: str) -> Any:
    """One variable of a .mat file, without the axes of length 1.

    Args:
        content: the whole file.
        variable: its name.
        where: of the file, for the error message.

    Raises:
        InputError: the file is damaged or has no such variable.
    """
    try:
        return scipy.io.loadmat(io.BytesIO(content), squeeze_me=True, variable_names=[variable])[variable]
    except (*_DAMAGE, zlib.error, struct.error, scipy.io.matlab.MatReadError) as error:
        raise InputError(
            f"{where}: is no MATLAB file with {variable!r} in it ({type(error).__name__}); get it again"
        ) from error
