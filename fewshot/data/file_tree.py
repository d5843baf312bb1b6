"""The files of a folder, a zip or a tar, read in place by one interface and without trusting the archive.

Nothing is extracted. An archive is refused as a whole if one member is absolute, climbs out with
"..", or is a link or a device, or if it holds more than the caps below.
"""

from __future__ import annotations

import lzma
import os
import re
import stat
import tarfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

from fewshot.errors import InputError

MAX_MEMBERS = 2_000_000
MAX_BYTES = 64 << 30
"""Of all members together, uncompressed."""
MAX_MEMBER_BYTES = 2 << 30

_MEND = "if you trust it, unpack it yourself and give the folder"

ZIPS = (".zip",)
TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")

_DAMAGE = (
    OSError, EOFError, RuntimeError, ValueError,
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError,
)  # fmt: skip
"""RuntimeError is what zipfile raises for encrypted members and unknown compression, ValueError for names."""


class FileTree(ABC):
    """Regular files under one root; names are relative, with "/", and sorted."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Every file, without what operating systems add (.DS_Store, __MACOSX)."""

    @abstractmethod
    def read_all(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Name and content of each named file, in the order in which they are read fastest.

        Raises:
            InputError: a file is missing or damaged.
        """

    def read(self, name: str) -> bytes:
        """The content of one file.

        Raises:
            InputError: it is missing or damaged.
        """
        return next(iter(self.read_all([name])))[1]


def open_tree(path: Path) -> FileTree:
    """The tree in a folder or archive.

    Raises:
        InputError: `path` is neither, is damaged, or is an archive with a member that is refused.
    """
    if path.is_dir():
        return _Folder(path)
    if path.name.lower().endswith(ZIPS):
        return _Zip(path)
    if path.name.lower().endswith(TARS):
        return _Tar(path)
    raise InputError(f"{path}: is neither a folder nor an archive ({', '.join(ZIPS + TARS)})")


class _Folder(FileTree):
    @cached_property
    def names(self) -> tuple[str, ...]:
        found = []
        for folder, folders, files in os.walk(self.root, followlinks=True):
            folders.sort()
            inside = Path(folder).relative_to(self.root).as_posix()
            found += [file if inside == "." else f"{inside}/{file}" for file in files]
        return tuple(sorted(name for name in found if not _is_litter(name)))

    def read_all(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        for name in names:
            try:
                yield name, (self.root / name).read_bytes()
            except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
                reason = getattr(error, "strerror", None) or error
                raise InputError(f"{self.root / name}: cannot be read ({reason})") from error


class _Zip(FileTree):
    @cached_property
    def names(self) -> tuple[str, ...]:
        try:
            with zipfile.ZipFile(self.root) as archive:
                members = archive.infolist()
        except _DAMAGE as error:
            raise _damaged(self.root, error) from error
        _check_amount(self.root, len(members), sum(member.file_size for member in members))
        names = []
        for member in members:
            mode = member.external_attr >> 16
            _check_member(self.root, member.filename, member.file_size, special=_is_special(mode))
            if not member.is_dir():
                names.append(member.filename)
        return tuple(sorted(name for name in names if not _is_litter(name)))

    def read_all(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        known = set(self.names)
        name = ""
        try:
            with zipfile.ZipFile(self.root) as archive:
                for name in names:
                    if name not in known:
                        raise InputError(f"{self.root}: has no member {name!r}")
                    # The size in the directory was checked; zipfile stops reading there.
                    content = archive.read(name)
                    yield name, content
        except _DAMAGE as error:
            raise _damaged(self.root, error, name) from error


class _Tar(FileTree):
    @cached_property
    def names(self) -> tuple[str, ...]:
        names: list[str] = []
        total = 0
        try:
            with tarfile.open(self.root) as archive:
                for count, member in enumerate(archive, start=1):
                    total += member.size
                    _check_amount(self.root, count, total)
                    plain = member.isreg() or member.isdir()
                    _check_member(self.root, member.name, member.size, special=not plain)
                    if member.isreg():
                        names.append(member.name.removeprefix("./"))
        except _DAMAGE as error:
            raise _damaged(self.root, error) from error
        return tuple(sorted(name for name in names if not _is_litter(name)))

    def read_all(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """In the order of the archive: going back in a compressed tar starts from its beginning."""
        wanted = set(names)
        missing = wanted - set(self.names)
        if missing:
            raise InputError(f"{self.root}: has no member {min(missing)!r}")
        try:
            with tarfile.open(self.root) as archive:
                for member in archive:
                    name = member.name.removeprefix("./")
                    if name in wanted and member.isreg():
                        wanted.remove(name)
                        content = archive.extractfile(member)
                        assert content is not None
                        yield name, content.read()
                    if not wanted:
                        return
        except _DAMAGE as error:
            raise _damaged(self.root, error) from error


def _check_amount(root: Path, members: int, total: int) -> None:
    if members > MAX_MEMBERS:
        raise InputError(f"{root}: refused, it holds more than {MAX_MEMBERS:,} members; {_MEND}")
    if total > MAX_BYTES:
        raise InputError(f"{root}: refused, it unpacks to more than {MAX_BYTES:,} bytes; {_MEND}")


def _check_member(root: Path, name: str, size: int, *, special: bool) -> None:
    parts = re.split(r"[/\\]", name)
    if parts[0] == "" or ".." in parts or re.match(r"[A-Za-z]:", name) or "\0" in name:
        raise InputError(f"{root}: refused, member {name!r} points outside the archive; do not unpack it")
    if special:
        raise InputError(f"{root}: refused, member {name!r} is a link or a device; {_MEND}")
    if size > MAX_MEMBER_BYTES:
        raise InputError(
            f"{root}: refused, member {name!r} is larger than {MAX_MEMBER_BYTES:,} bytes; {_MEND}"
        )


def _is_special(mode: int) -> bool:
    """Whether Unix mode bits in a zip say anything but a file or folder; 0 says nothing."""
    return stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR)


def _is_litter(name: str) -> bool:
    last = name.rsplit("/", 1)[-1]
    return last.startswith(("._", ".DS_Store")) or last == "Thumbs.db" or name.startswith("__MACOSX/")


def _damaged(root: Path, error: Exception, member: str = "") -> InputError:
    where = f"{root}: member {member!r}" if member else f"{root}: the archive"
    reason = str(error) or type(error).__name__
    return InputError(f"{where} cannot be read ({reason}); it is damaged or cut off, get it again")
