"""`python -m fewshot data ...`."""

from __future__ import annotations

from pathlib import Path

import pytest

from fewshot.cli.conf_folder import ConfFolder
from fewshot.cli.verbs import main

MISTAKES = {
    "": "data: needs an action; write data list, prepare, verify or export NAME",
    "lsit": "data lsit: there is no such action; write data list, prepare, verify or export NAME; "
    "did you mean 'list'?",
    "list omniglot": "data list omniglot: takes nothing after it",
    "prepare": "data prepare: needs a data set: ",
    "prepare omniglott": "there is no data=omniglott; the choices are ",
    "prepare omniglot siz=3": "data=omniglot has no option 'siz'; it has split, size, ",
    "prepare omniglot size=big": "data.size: expected int, got 'big'",
    "prepare omniglot elsewhere": "'elsewhere' is not KEY=VALUE, such as source=PATH",
    "prepare miniimagenet source=nowhere": "data=miniimagenet: ",
    "prepare miniimagenet": "data=miniimagenet: no files of miniImageNet in ",
    "verify miniimagenet": "data=miniimagenet: not packed yet",
}


@pytest.fixture(autouse=True)
def empty_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEWSHOT_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data"


@pytest.mark.parametrize("words", MISTAKES)
def test_one_line_and_status_2(words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", *words.split()]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith(f"error: {MISTAKES[words]}") and errors.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_list_names_every_data_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split(":")[0] for line in lines] == list(ConfFolder.found().choices("data"))


def test_prepare_then_verify_the_built_in_data(empty_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "prepare", "glyphs", "images_per_class=2"]) == 0
    assert main(["data", "verify", "glyphs", "images_per_class=2"]) == 0
    assert "glyphs: ready" in capsys.readouterr().out
    assert (empty_root / "packed").is_dir()


EXPORT_MISTAKES = {
    "": "data export glyphs: needs a folder to write to; write to=DIR",
    "to=out classes=0": "data export glyphs: classes=0 must be a whole number from 1 on",
    "to=out queries=0": "data export glyphs: queries=0 must be",
    "to=out clases=3": "data=glyphs has no option 'clases'; it has ",
    "to=.": "to=. is there and not empty; name a new folder",
}


@pytest.mark.parametrize("words", EXPORT_MISTAKES)
def test_export_mistakes(words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "something").touch()
    assert main(["data", "export", "glyphs", *words.split()]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith(f"error: {EXPORT_MISTAKES[words]}") and errors.count("\n") == 1
