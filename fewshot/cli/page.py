"""A page that a verb writes beside what it prints."""

from __future__ import annotations

import sys
from pathlib import Path

from fewshot.errors import InputError
from fewshot.whole_file import write_whole


def write_page(verb: str, key: str, path: str, text: str) -> None:
    """Write `text` to the file that the option `key` names, whole or not at all.

    Raises:
        InputError: it cannot be written.
    """
    try:
        write_whole(Path(path), text)
    except OSError as error:
        raise InputError(f"{verb}: cannot write {key}={path}: {error.strerror or error}") from error
    print(f"written    {path}", file=sys.stderr)
