"""What is found of a support and a query, and each mistake in one line."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from fewshot.data.labelling import find_query, find_support
from fewshot.errors import InputError

LONG = "n" * 300
"""No file system takes it."""


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files of no content: nothing is decoded here."""
    cats = ("cat/b.webp", "cat/notes.md", "cat/.hidden.png")
    for name in ("birds/owl/1.JPG", "birds/owl/2.png", *cats, "loose.png"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "photos"


def test_support_is_the_class_folders(photos: Path) -> None:
    found = find_support("photos")
    assert [path.name for path in found.paths] == ["1.JPG", "2.png", "b.webp"]
    assert found.classes == ("birds/owl", "birds/owl", "cat")
    assert sorted(path.name for path in found.left_out) == ["loose.png", "notes.md"]


def test_query_may_be_nested_a_file_a_list_or_a_text_file(photos: Path, tmp_path: Path) -> None:
    assert [path.name for path in find_query("photos").paths] == ["loose.png", "1.JPG", "2.png", "b.webp"]
    assert [path.name for path in find_query("photos").left_out] == ["notes.md"]
    assert find_query("photos/cat/notes.md").paths == (Path("photos/cat/notes.md"),)
    several = find_query(["photos/cat", "photos/loose.png", "photos/loose.png"])
    assert [path.name for path in several.paths] == ["b.webp", "loose.png"]
    (photos / "list.txt").write_text("photos/loose.png\n\ncat/b.webp\nbirds\n")
    assert [path.name for path in find_query("photos/list.txt").paths] == [
        "loose.png",
        "b.webp",
        "1.JPG",
        "2.png",
    ]
    assert find_query(str(photos)).paths[0] == photos / "loose.png"


def test_a_circle_of_links_ends(photos: Path) -> None:
    (photos / "cat" / "again").symlink_to(photos)
    assert len(find_query("photos").paths) == 4


def test_links_that_lead_to_themselves_are_no_files(photos: Path) -> None:
    for name in ("loop.png", "other.png"):
        (photos / "cat" / name).symlink_to(
            photos / "cat" / ("other.png" if name == "loop.png" else "loop.png")
        )
    assert len(find_query("photos").paths) == 4 and len(find_support("photos").paths) == 3
    with pytest.raises(InputError, match=r"no file or folder photos/cat/loop\.png"):
        find_query("photos/cat/loop.png")


@pytest.mark.parametrize("method", ["iterdir", "is_dir", "is_file"])
def test_a_folder_that_may_not_be_read_is_named(
    photos: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the right to read, or to enter: root, who may run this, has both."""

    def refused(path: Path) -> Any:
        if path.parent.name == "birds" or path.name == "owl":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return allowed(path)

    allowed = getattr(Path, method)
    monkeypatch.setattr(Path, method, refused)
    for find in (find_support, find_query):
        with pytest.raises(InputError, match=r"photos/birds(/owl)?: cannot be read \(Permission denied\)"):
            find("photos")


@pytest.mark.parametrize(
    ("folder", "says"),
    [
        pytest.param(LONG, f"support={LONG} is not a folder", id="long"),
        ("~nobody-of-this-name/x", "support=~nobody-of-this-name/x is not a folder"),
        ("nowhere", "support=nowhere is not a folder"),
        ("photos/loose.png", "support=photos/loose.png is not a folder"),
        ("photos/cat", "support=photos/cat holds no class: its images lie in no class folder"),
        ("empty", "support=empty holds no class: no files end in .jpg, "),
        ("photos", "support=photos: class 'dog' has no images; add some or remove the folder"),
    ],
)
def test_mistakes_in_a_support(photos: Path, folder: str, says: str) -> None:
    Path("empty").mkdir()
    (photos / "dog" / "inside").mkdir(parents=True)
    with pytest.raises(InputError) as caught:
        find_support(folder)
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        pytest.param(LONG, f"query: there is no file or folder {LONG}", id="long"),
        pytest.param("zero.txt", "query=zero.txt, line 1: is no path", id="zero byte in a list"),
        pytest.param("long.txt", "query=long.txt, line 2: there is no file", id="long in a list"),
        ("~nobody-of-this-name/x", "query: there is no file or folder ~nobody-of-this-name/x"),
        ("nowhere", "query: there is no file or folder nowhere"),
        (["photos", "gone.png"], "query: there is no file or folder gone.png"),
        ("empty", "query=empty holds no images: no files end in .jpg"),
        (["empty", "empty"], "query=[2 paths] holds no images"),
        ("list.txt", "query=list.txt, line 3: there is no file or folder gone.png"),
        (["photos", "list.txt"], "query=list.txt, line 3: there is"),
        ("blank.txt", "query=blank.txt names no images: write a path in each line"),
    ],
)
def test_mistakes_in_a_query(photos: Path, query: str | list[str], says: str) -> None:
    Path("empty").mkdir()
    Path("list.txt").write_text("photos/loose.png\n\ngone.png\n")
    Path("blank.txt").write_text("\n \n")
    Path("zero.txt").write_text("~\0\n")
    Path("long.txt").write_text(f"photos/loose.png\n{LONG}\n")
    with pytest.raises(InputError) as caught:
        find_query(query)
    assert str(caught.value).startswith(says)
