"""A new folder for every run: never shared by two, never used again."""

from __future__ import annotations

import re
import secrets
from datetime import datetime
from pathlib import Path

from fewshot.errors import InputError

_ATTEMPTS = 100


def new_run_dir(output_dir: str | Path, name: str) -> Path:
    """Make `output_dir/2026-11-23_084512_NAME_3f2a` and return it.

    `mkdir` either makes the folder or fails, also between processes and on network file systems:
    who made it owns it. The four random digits keep jobs apart that start in the same second.

    Args:
        output_dir: made if missing.
        name: what the run is called; characters that folders should not have become `-`.

    Raises:
        InputError: nothing can be made in `output_dir`.
    """
    parent = Path(output_dir)
    readable = re.sub(r"[^\w.=-]+", "-", name).strip("-.")[:80] or "run"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for _ in range(_ATTEMPTS):
            path = parent / f"{datetime.now():%Y-%m-%d_%H%M%S}_{readable}_{secrets.token_hex(2)}"
            try:
                path.mkdir()
            except FileExistsError:
                continue
            return path
    except OSError as error:
        raise InputError(
            f"output_dir={output_dir}: no folder can be made there ({error.strerror}); "
            "choose another with output_dir=DIR"
        ) from error
    raise InputError(f"output_dir={output_dir}: no free name for the run '{readable}'; give name=NAME")
