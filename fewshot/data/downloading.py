"""Get a file that the owner of a data set serves, whole and unchanged or not at all."""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from pathlib import Path

from fewshot.data.source import Download
from fewshot.errors import InputError
from fewshot.progress import Progress
from fewshot.whole_file import whole_file

TIMEOUT = 30.0
"""Seconds without an answer before the server counts as unreachable."""

_MB = 1_000_000


def fetch(download: Download, folder: Path) -> Path:
    """Download one file into `folder`, unless it is there already, and check its sum.

    Returns:
        The path of the file.

    Raises:
        InputError: the server cannot be reached, the file is another one, or it cannot be written.
    """
    target = folder / download.file
    if target.is_file():
        return target
    digest = hashlib.md5(usedforsecurity=False) if len(download.checksum) == 32 else hashlib.sha256()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(download.url, timeout=TIMEOUT) as answer, whole_file(target) as file:
            total = download.bytes or int(answer.headers.get("Content-Length") or 0)
            with Progress(f"downloading {download.file}", total / _MB or None, "MB") as progress:
                while block := answer.read(1 << 18):
                    file.write(block)
                    digest.update(block)
                    progress.advance(len(block) / _MB)
            if digest.hexdigest() != download.checksum:
                raise InputError(
                    f"{download.url}: the file that came is not the published one (its checksum differs); "
                    f"try again, or get it yourself and put it into {folder}"
                )
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise InputError(
            f"{download.url}: cannot be downloaded ({reason}); get it elsewhere and put it into {folder}"
        ) from error
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error.strerror or error})") from error
    return target
