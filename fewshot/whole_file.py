"""A file, or a folder, that is there whole or not at all, whatever happens while it is written."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_UNFINISHED = re.compile(r"\..+\.\d+")
"""As `whole_file` names them."""


@contextmanager
def whole_file(path: Path, *, keep_replaced: Path | None = None) -> Iterator[BinaryIO]:
    """A new binary file that takes the place of `path` when the block ends, on the disk by then.

    It is written as `.NAME.PID` in the same folder. A block that raises anything leaves `path` as it
    was and removes the new file; a process killed within it leaves the hidden file at most.

    Args:
        path: of the file; its folder exists.
        keep_replaced: where the file that is replaced goes, in the same folder; None drops it.

    Raises:
        OSError: the file cannot be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if keep_replaced is not None and path.exists():
            path.replace(keep_replaced)
        beside.replace(path)
    except BaseException:
        with suppress(OSError):  # it would hide what went wrong
            beside.unlink()
        raise
    sync_folder(path.parent)


def remove_unfinished(folder: Path) -> None:
    """Remove the files that killed writers left in a folder and below; nobody else may be writing there."""
    for left in folder.rglob(".*"):
        if _UNFINISHED.fullmatch(left.name) and left.is_file():
            with suppress(OSError):  # it is in nobody's way
                left.unlink()


def write_whole(path: Path, text: str) -> None:
    """Let `path` hold `text` as UTF-8, or what it held before.

    Raises:
        OSError: the file cannot be written.
    """
    with whole_file(path) as file:
        file.write(text.encode())


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A new folder that gets its name `path` when the block ends.

    It is filled as `.NAME.PID` in the same folder. A block that raises anything leaves nothing; a process
    killed within it leaves the hidden folder at most.

    Args:
        path: of the folder, which does not exist; those above it are made.

    Raises:
        OSError: the folder cannot be made, or has come to be meanwhile.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.mkdir()
    try:
        yield beside
        beside.rename(path)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Let the names in a folder outlive a power failure, where the file system can promise that.

    Raises:
        OSError: the disk fails.
    """
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        # What some network file systems answer, which know no such promise for a folder.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(opened)
