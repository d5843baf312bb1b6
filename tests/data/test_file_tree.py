from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fewshot.data import file_tree
from fewshot.data.file_tree import open_tree
from fewshot.errors import InputError

FILES = {"set/b/2.png": b"two", "set/a/1.png": b"one" * 1000, "set/list.txt": b""}
LITTER = {"set/.DS_Store": b"x", "__MACOSX/set/._1": b"x", "set/a/._1.png": b"x"}


def write_folder(path: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    path = path.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("set/", "")
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def write_tar(path: Path, files: dict[str, bytes], suffix: str = ".tar") -> Path:
    path = path.with_name(path.name + suffix)
    with tarfile.open(path, f"w:{suffix.split('.')[2]}" if suffix.count(".") == 2 else "w") as archive:
        for name, content in files.items():
            add(archive, name, content)
    return path


def add(archive: tarfile.TarFile, name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.type, member.linkname = len(content), kind, "/etc/passwd"
    archive.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize(
    "write",
    [
        write_folder,
        write_zip,
        write_tar,
        lambda path, files: write_tar(path, files, ".tar.gz"),
        lambda path, files: write_tar(path, files, ".tar.xz"),
    ],
)
def test_every_form_shows_the_same_files(
    write: Callable[[Path, dict[str, bytes]], Path], tmp_path: Path
) -> None:
    tree = open_tree(write(tmp_path / "files", FILES | LITTER))
    assert tree.names == tuple(sorted(FILES))
    assert dict(tree.read_all(tree.names)) == FILES
    assert tree.read("set/b/2.png") == b"two"
    with pytest.raises(InputError, match=r"none\.txt"):
        tree.read("set/none.txt")


def test_leading_dot_of_a_tar_is_dropped(tmp_path: Path) -> None:
    tree = open_tree(write_tar(tmp_path / "a", {"./set/1.txt": b"1"}))
    assert tree.names == ("set/1.txt",)
    assert tree.read("set/1.txt") == b"1"


@pytest.mark.parametrize(
    "name", ["../evil.txt", "/etc/evil", "set/../../evil", "C:/evil", "..\\evil", "\\evil"]
)
@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_members_that_point_outside_are_refused(
    name: str, write: Callable[[Path, dict[str, bytes]], Path], tmp_path: Path
) -> None:
    tree = open_tree(write(tmp_path / "files", FILES | {name: b"evil"}))
    with pytest.raises(InputError, match=r"refused, member .* points outside"):
        next(iter(tree.read_all(["set/list.txt"])))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(kind: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        add(archive, "set/1.txt", kind=kind)
    with pytest.raises(InputError, match="link or a device"):
        open_tree(path).names  # noqa: B018


def test_links_in_a_zip_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        member = zipfile.ZipInfo("set/1.txt")
        member.create_system, member.external_attr = 3, 0o120777 << 16
        archive.writestr(member, "/etc/passwd")
    with pytest.raises(InputError, match="link or a device"):
        open_tree(path).names  # noqa: B018


@pytest.mark.parametrize("write", [write_zip, write_tar])
@pytest.mark.parametrize("cap", ["MAX_MEMBERS", "MAX_BYTES", "MAX_MEMBER_BYTES"])
def test_caps(
    cap: str,
    write: Callable[[Path, dict[str, bytes]], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = write(tmp_path / "files", FILES)
    monkeypatch.setattr(file_tree, cap, 2)
    with pytest.raises(InputError, match="refused"):
        open_tree(path).names  # noqa: B018


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz", ".tar.xz"])
@pytest.mark.parametrize("keep", [0.3, 0.7])
def test_an_archive_that_is_cut_off_is_named(suffix: str, keep: float, tmp_path: Path) -> None:
    files = {f"set/{number}.bin": bytes(range(256)) * 40 for number in range(5)}
    whole = write_zip(tmp_path / "a", files) if suffix == ".zip" else write_tar(tmp_path / "a", files, suffix)
    data = whole.read_bytes()
    whole.write_bytes(data[: int(len(data) * keep)])
    tree = open_tree(whole)
    with pytest.raises(InputError, match=r"a\.(zip|tar).*(damaged|cut off|has no member)"):
        list(tree.read_all(files))


def test_a_changed_member_of_a_zip_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("set/1.bin", b"abcdefgh" * 100)
    path.write_bytes(path.read_bytes().replace(b"abcdefgh", b"abcdefgX", 1))
    with pytest.raises(InputError, match=r"member 'set/1\.bin' cannot be read"):
        open_tree(path).read("set/1.bin")


def test_other_files_are_no_trees(tmp_path: Path) -> None:
    (tmp_path / "a.rar").write_bytes(b"Rar!")
    with pytest.raises(InputError, match="neither a folder nor an archive"):
        open_tree(tmp_path / "a.rar")
