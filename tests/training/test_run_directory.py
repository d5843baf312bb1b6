"""Run folders: unique between threads and processes, made at once or refused with one line."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fewshot.errors import InputError
from fewshot.training import run_directory
from fewshot.training.run_directory import new_run_dir


def test_name_tells_when_and_what(tmp_path: Path) -> None:
    path = new_run_dir(tmp_path / "deep" / "runs", "icnn_../my data\n")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d{6}_icnn_..-my-data_[0-9a-f]{4}", path.name)
    assert path.is_dir() and path.parent == tmp_path / "deep" / "runs"


@pytest.mark.parametrize("name", ["", "...", "///"])
def test_empty_name_is_run(name: str, tmp_path: Path) -> None:
    assert "_run_" in new_run_dir(tmp_path, name).name


def test_same_second_starts_never_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Sixteen suffixes for sixteen starts: they collide all the time.
    tokens = iter(f"000{i % 16:x}" for i in range(10_000))
    monkeypatch.setattr(run_directory, "_ATTEMPTS", 1_000)
    monkeypatch.setattr(run_directory.secrets, "token_hex", lambda _: next(tokens))
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda _: new_run_dir(tmp_path, "run"), range(16)))
    assert len(set(paths)) == 16


def test_no_free_name_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_directory.secrets, "token_hex", lambda _: "0000")
    monkeypatch.setattr(run_directory, "_ATTEMPTS", 3)

    class Clock:
        @staticmethod
        def now() -> str:
            return "then"

    monkeypatch.setattr(run_directory, "datetime", Clock)
    monkeypatch.setattr(Clock, "now", staticmethod(lambda: __import__("datetime").datetime(2026, 1, 1)))
    new_run_dir(tmp_path, "run")
    with pytest.raises(InputError, match="no free name"):
        new_run_dir(tmp_path, "run")


def test_place_that_can_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "runs", Path("/proc/none/runs")):
        with pytest.raises(InputError, match=r"^output_dir=.* choose another with output_dir=DIR$"):
            new_run_dir(place, "run")
