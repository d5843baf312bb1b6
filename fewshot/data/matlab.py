"""MATLAB files, read by SciPy in a process of its own: a damaged file can crash its reader."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from fewshot.errors import InputError

MEMORY = 2 << 30
"""Bytes of address space that the reader may take: a small file can claim arrays of any size."""


def texts(content: bytes, variable: str, where: str) -> list[str]:
    """A cell array of strings.

    Args:
        content: the whole file.
        variable: its name.
        where: of the file, for the error message.

    Raises:
        InputError: the file is damaged or has no such variable.
    """
    return _read(content, variable, {"": str}, where)[""]


def table(content: bytes, variable: str, columns: dict[str, type], where: str) -> dict[str, list[Any]]:
    """Some fields of an array of structs, each the value of every struct.

    Args:
        content, variable, where: see `texts`.
        columns: the fields and what they hold: str or int.

    Raises:
        InputError: see `texts`, or a field is not there or holds something else.
    """
    return _read(content, variable, columns, where)


def _read(content: bytes, variable: str, columns: dict[str, type], where: str) -> dict[str, list[Any]]:
    # -I: nothing is imported from the folder that the user stands in.
    reader = [sys.executable, "-I", "-c", _READ, variable, *columns]
    one_thread = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(reader, input=content, capture_output=True, check=False, env=one_thread)
    reason = ""
    if done.returncode:
        last = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2].partition(":")[0]
        reason = last if done.returncode > 0 else "its reader crashed"
    else:
        found = dict(zip(columns, json.loads(done.stdout), strict=True))
        if all(type(value) is kind for field, kind in columns.items() for value in found[field]):
            return found
        reason = "it holds other values"
    raise InputError(f"{where}: is no MATLAB file with {variable!r} in it ({reason}); get it again")


_READ = f"""
import io, json, resource, sys, warnings
import numpy, scipy.io
warnings.simplefilter("ignore")
hard = resource.getrlimit(resource.RLIMIT_AS)[1]
if hard == resource.RLIM_INFINITY or hard > {MEMORY}:
    resource.setrlimit(resource.RLIMIT_AS, ({MEMORY}, hard))
variable, *fields = sys.argv[1:]
content = io.BytesIO(sys.stdin.buffer.read())
found = scipy.io.loadmat(content, squeeze_me=True, variable_names=[variable])[variable]
def plain(value):
    value = value.item() if hasattr(value, "item") else value
    return int(value) if isinstance(value, float) and value.is_integer() else value
rows = [numpy.atleast_1d(found[field] if field else found) for field in fields]
json.dump([[plain(value) for value in row] for row in rows], sys.stdout)
"""
