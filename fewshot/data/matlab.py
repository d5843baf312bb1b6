"""MATLAB files, read by SciPy in a process of its own: a damaged file can crash its reader."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import Any

from fewshot.data import pickles
from fewshot.errors import InputError


def read_variable(content: bytes, variable: str, where: str) -> Any:
    """One variable of a .mat file, without the axes of length 1.

    Args:
        content: the whole file.
        variable: its name.
        where: of the file, for the error message.

    Raises:
        InputError: the file is damaged or has no such variable.
    """
    # -I: nothing is imported from the folder that the user stands in.
    reader = [sys.executable, "-I", "-c", _READ, variable]
    done = subprocess.run(reader, input=content, capture_output=True, check=False)
    if done.returncode:
        reason = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2].partition(":")[0]
        raise InputError(
            f"{where}: is no MATLAB file with {variable!r} in it "
            f"({reason if done.returncode > 0 else 'its reader crashed'}); get it again"
        )
    return pickles.load(io.BytesIO(done.stdout), where)


_READ = """
import io, pickle, sys, warnings
import scipy.io
warnings.simplefilter("ignore")
variable, content = sys.argv[1], io.BytesIO(sys.stdin.buffer.read())
found = scipy.io.loadmat(content, squeeze_me=True, variable_names=[variable])[variable]
pickle.dump(found, sys.stdout.buffer)
"""
