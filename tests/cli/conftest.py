"""The fixture `laboratory`: the small project in a folder of its own, and an empty working directory."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from laboratory_project import FILES, Laboratory, Schema

from fewshot.cli import conf_folder, launch
from fewshot.cli.program import Program


@pytest.fixture
def laboratory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Laboratory]:
    for name, text in FILES.items():
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
    working = tmp_path / "working"
    working.mkdir()
    monkeypatch.chdir(working)
    monkeypatch.syspath_prepend(str(tmp_path / "project"))
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.delenv("FEWSHOT_TRACEBACK", raising=False)
    monkeypatch.setattr(conf_folder, "conf_path", lambda: tmp_path / "project" / "conf")
    monkeypatch.setattr(launch, "conf_path", lambda: tmp_path / "project" / "conf")
    monkeypatch.delitem(sys.modules, "laboratory", raising=False)
    import laboratory as package

    examples = (("loss=icnn", "another loss"),)
    program = Program("train", "Trains.", Schema, "laboratory.recipe", examples)
    yield Laboratory(working, program, package.calls)
    sys.modules.pop("laboratory", None)
