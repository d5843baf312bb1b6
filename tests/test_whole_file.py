from __future__ import annotations

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import BinaryIO

import pytest

from fewshot.whole_file import sync_folder, whole_file, whole_folder, write_whole


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class FullDisk:
    """A file that takes some bytes and then only a part."""

    def __init__(self, file: BinaryIO, room: int) -> None:
        self.file = file
        self.room = room

    def write(self, data: bytes) -> int:
        if len(data) > self.room:
            self.file.write(data[: self.room])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= len(data)
        return self.file.write(data)


def test_the_old_content_stands_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"a longer old content")
    with whole_file(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"a longer old content"
    assert content(tmp_path) == {"a.bin": b"new"}


def test_text_is_utf8_with_the_newlines_given(tmp_path: Path) -> None:
    write_whole(tmp_path / "a.txt", "naïve\r\nłacińska\n")
    assert (tmp_path / "a.txt").read_bytes() == "naïve\r\nłacińska\n".encode()


@pytest.mark.parametrize("there", [True, False])
def test_a_full_disk_changes_nothing(there: bool, tmp_path: Path) -> None:
    if there:
        (tmp_path / "a.bin").write_bytes(b"old")
    before = content(tmp_path)
    with pytest.raises(OSError, match="No space left"), whole_file(tmp_path / "a.bin") as file:
        full = FullDisk(file, room=10)
        full.write(b"12345678")
        full.write(b"12345678")
    assert content(tmp_path) == before


def test_a_file_that_cannot_be_flushed_changes_nothing(tmp_path: Path) -> None:
    """A small file lies in the buffer, and the disk says no only when it gets it."""
    (tmp_path / "a.bin").write_bytes(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_whole(tmp_path / "a.bin", "more than ten bytes")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert content(tmp_path) == {"a.bin": b"old"}


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_fails_at_the_end_changes_nothing(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.bin").write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(*((os, call) if call == "fsync" else (Path, call)), fail)
        with pytest.raises(OSError, match="Input/output error"):
            write_whole(tmp_path / "a.bin", "new")
    assert content(tmp_path) == {"a.bin": b"old"}


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_whatever_ends_the_block_passes_and_leaves_nothing(
    raised: type[BaseException], tmp_path: Path
) -> None:
    (tmp_path / "a.bin").write_bytes(b"old")
    with pytest.raises(raised), whole_file(tmp_path / "a.bin") as file:
        file.write(b"half")
        raise raised
    assert content(tmp_path) == {"a.bin": b"old"}


def test_a_killed_process_leaves_a_hidden_file_at_most(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"old")
    program = f"""
        import os, signal
        from pathlib import Path
        from fewshot.whole_file import whole_file
        with whole_file(Path({str(tmp_path)!r}) / "a.bin") as file:
            file.write(b"half")
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=False)
    assert done.returncode == -signal.SIGKILL
    left = content(tmp_path)
    assert left.pop("a.bin") == b"old"
    assert list(left.values()) == [b"half"] and next(iter(left)).startswith(".a.bin.")


def test_what_is_replaced_can_be_kept(tmp_path: Path) -> None:
    path, kept = tmp_path / "a.bin", tmp_path / "a.bin.previous"
    for data in (b"1", b"2", b"3"):
        with whole_file(path, keep_replaced=kept) as file:
            file.write(data)
    assert content(tmp_path) == {"a.bin": b"3", "a.bin.previous": b"2"}
    with pytest.raises(ZeroDivisionError), whole_file(path, keep_replaced=kept):
        raise ZeroDivisionError
    assert content(tmp_path) == {"a.bin": b"3", "a.bin.previous": b"2"}


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o007, 0o660)])
def test_it_has_the_permissions_of_any_new_file(mask: int, mode: int, tmp_path: Path) -> None:
    """Not those of a private temporary file, which colleagues could not read."""
    before = os.umask(mask)
    try:
        write_whole(tmp_path / "a.txt", "a")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == mode


@pytest.mark.parametrize("place", ["absent", "file"])
def test_a_folder_that_is_none_is_the_error(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FileNotFoundError if place == "absent" else NotADirectoryError):
        write_whole(tmp_path / place / "a.txt", "a")


def test_content_and_then_name_reach_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[bool, bool]] = []

    def note(opened: int) -> None:
        synced.append((stat.S_ISDIR(os.fstat(opened).st_mode), (tmp_path / "a.txt").exists()))

    monkeypatch.setattr(os, "fsync", note)
    write_whole(tmp_path / "a.txt", "a")
    assert synced == [(False, False), (True, True)]


@pytest.mark.parametrize(("number", "passes"), [(errno.EINVAL, True), (errno.EIO, False)])
def test_only_a_file_system_that_cannot_sync_folders_is_forgiven(
    number: int, passes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    if passes:
        sync_folder(tmp_path)
    else:
        with pytest.raises(OSError, match="Input/output"):
            sync_folder(tmp_path)


def test_what_went_wrong_is_told_though_the_new_file_is_gone(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), whole_file(tmp_path / "a.bin"):
        for path in tmp_path.iterdir():
            path.unlink()
        raise ZeroDivisionError


def test_a_folder_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), whole_folder(tmp_path / "deep/new") as folder:
        (folder / "part").write_text("x")
        raise RuntimeError
    assert not list((tmp_path / "deep").iterdir())
    with whole_folder(tmp_path / "deep/new") as folder:
        (folder / "part").write_text("x")
        assert not (tmp_path / "deep/new").exists()
    assert (tmp_path / "deep/new/part").read_text() == "x" and len(list((tmp_path / "deep").iterdir())) == 1
