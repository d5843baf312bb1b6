"""Decode every image of a source once and write the arrays that training reads."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import shutil
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from numpy.typing import NDArray

import fewshot
from fewshot.data import pack_format
from fewshot.data.decoding import square
from fewshot.data.image_folders import printable
from fewshot.data.source import Record, Source
from fewshot.errors import InputError
from fewshot.progress import Progress
from fewshot.whole_file import sync_folder, whole_file, write_whole

_CHUNK = 64
"""Images that a thread decodes in one go."""


def pack(source: Source, folder: Path, form: str, target: Path, *, replace: bool = False) -> Path:
    """Pack the files in `folder` into `target`, or use what another process packed there meanwhile.

    The set appears whole or not at all: it is written beside `target`, synced and renamed. Of
    several processes one packs and the others wait for it; what a killed one left is removed.

    Args:
        source: reads the files.
        folder: of the original files.
        form: in which form they are there, as `source.find` says; kept in the manifest.
        target: ROOT/packed/KEY.
        replace: pack again although `target` is there.

    Returns:
        `target`.

    Raises:
        InputError: an image is damaged, the files hold no image, or the disk is full or read-only.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _only_process(target) as alone:
            if target.exists() and not replace:
                return target
            if alone:
                for left in target.parent.glob(f".{target.name}.packing-*"):
                    shutil.rmtree(left, ignore_errors=True)
            _pack_beside(source, folder, form, target, replace)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{target}: cannot write the packed set ({reason}); nothing was kept") from error
    return target


@contextlib.contextmanager
def _only_process(target: Path) -> Iterator[bool]:
    """Hold the lock of `target`; yields False on file systems that have no locks."""
    with (target.parent / f".{target.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            alone = True
        except OSError:
            alone = False
        yield alone


def _pack_beside(source: Source, folder: Path, form: str, target: Path, replace: bool) -> None:
    beside = target.parent / f".{target.name}.packing-{os.getpid()}"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    try:
        manifest = _write_arrays(source, folder, beside) | {"form": form, "folder": str(folder.resolve())}
        text = json.dumps(manifest, indent=1, ensure_ascii=False)
        write_whole(beside / pack_format.MANIFEST, text + "\n")
        _put_in_place(beside, target, replace)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _put_in_place(beside: Path, target: Path, replace: bool) -> None:
    if replace and target.exists():
        old = beside.with_name(f"{beside.name}-old")
        target.rename(old)
        beside.rename(target)
        shutil.rmtree(old, ignore_errors=True)
    else:
        try:
            beside.rename(target)
        except OSError:
            # Without locks another process may have been first; its result is as good.
            if not target.exists():
                raise
    sync_folder(target.parent)


def _write_arrays(source: Source, folder: Path, beside: Path) -> dict[str, Any]:
    """Write images, labels and names; return the manifest without where they came from."""
    shape = (source.channels, source.size, source.size)
    classes: list[str] = []
    names: list[str] = []
    path = beside / pack_format.IMAGES
    with whole_file(path) as file, Progress(f"packing {source.key}", None, "images") as progress:
        # Plain writes rather than a memory map: the number of images is not known beforehand, and
        # on a full disk a write fails with an error where a memory map kills the process.
        file.write(_header(0, shape))
        for records, pixels in _decoded(source, folder):
            # A line break in a name would make two names of it.
            classes.extend(printable(record.class_name) for record in records)
            names.extend(printable(record.name) for record in records)
            file.write(pixels.data)
            progress.advance(len(records))
        count = len(names)
        if count == 0:
            raise InputError(f"{folder}: no images of {source.title} were found there")
        file.seek(0)
        file.write(_header(count, shape))
    order = _sorted_rows(classes, names, folder)
    if not np.array_equal(order, np.arange(count)):
        _permute(path, order, shape)
    class_names, labels = np.unique(np.array(classes, dtype=object)[order].astype(str), return_inverse=True)
    with whole_file(beside / pack_format.LABELS) as file:
        np.save(file, labels.astype(np.int64))
    write_whole(beside / pack_format.NAMES, "".join(f"{names[row]}\n" for row in order))
    return {
        "version": pack_format.VERSION,
        "key": source.key,
        "name": source.images or source.name,
        "title": source.title,
        "terms": source.terms,
        "count": count,
        "size": source.size,
        "channels": source.channels,
        "fit": source.fit,
        "resize": source.resize,
        "classes": class_names.tolist(),
        "images_per_class": np.bincount(labels).tolist(),
        "bytes": {name: (beside / name).stat().st_size for name in (*pack_format.ARRAYS, pack_format.NAMES)},
        "sha256": {name: pack_format.sha256_of(beside / name) for name in pack_format.ARRAYS},
        "fewshot": fewshot.__version__,
        "pillow": PIL.__version__,
    }


def _decoded(source: Source, folder: Path) -> Iterator[tuple[list[Record], NDArray[np.uint8]]]:
    """Decode in threads (Pillow lets go of the interpreter lock), yield in order, hold little."""

    def decode_chunk(chunk: list[Record]) -> tuple[list[Record], NDArray[np.uint8]]:
        return chunk, np.stack([square(record, source, folder) for record in chunk])

    workers = min(16, os.cpu_count() or 1)
    left = source.records(folder)
    running: deque[Future[tuple[list[Record], NDArray[np.uint8]]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            while chunk := list(islice(left, _CHUNK)):
                running.append(pool.submit(decode_chunk, chunk))
                if len(running) > 2 * workers:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _header(count: int, shape: tuple[int, ...]) -> bytes:
    """The first bytes of an .npy file. NumPy pads it so that its length does not depend on `count`."""
    with io.BytesIO() as buffer:
        description = {"descr": "|u1", "fortran_order": False, "shape": (count, *shape)}
        np.lib.format.write_array_header_1_0(buffer, description)
        return buffer.getvalue()


def _sorted_rows(classes: list[str], names: list[str], folder: Path) -> NDArray[np.int64]:
    order = sorted(range(len(names)), key=lambda row: (classes[row], names[row]))
    for first, second in pairwise(order):
        if classes[first] == classes[second] and names[first] == names[second]:
            raise InputError(f"{folder}: {names[first]!r} is twice in class {classes[first]!r}; remove one")
    return np.array(order, dtype=np.int64)


def _permute(path: Path, order: NDArray[np.int64], shape: tuple[int, ...]) -> None:
    """Rewrite the array with its rows in `order`."""
    rows = np.load(path, mmap_mode="r", allow_pickle=False)
    with whole_file(path) as file:
        file.write(_header(len(order), shape))
        for start in range(0, len(order), 1024):
            file.write(np.ascontiguousarray(rows[order[start : start + 1024]]).data)
