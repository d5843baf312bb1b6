"""learn2learn (Arnold et al. 2020, arXiv 2008.12284), imported where it is asked for and nowhere else."""

from __future__ import annotations

import contextlib
import importlib
import io
from types import ModuleType

from fewshot.errors import InputError


def learn2learn() -> ModuleType:
    """The package learn2learn 0.2.0.

    Raises:
        InputError: it is not installed.
    """
    try:
        # It imports gym, which prints an advertisement to stderr.
        with contextlib.redirect_stderr(io.StringIO()):
            return importlib.import_module("learn2learn")
    except ImportError as error:
        raise InputError(
            f"this needs the package learn2learn, which cannot be imported ({error}): run `make learn2learn`"
        ) from error
