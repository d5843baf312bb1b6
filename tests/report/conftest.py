"""The fixture `runs`: tiny finished runs of the three recipes, in one working directory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_runs import Runs, continual, few_shot, hostile_pictures, retrieval


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    folder = tmp_path_factory.mktemp("reports")
    before = Path.cwd()
    hostile_pictures(folder / "pictures")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEWSHOT_DATA", str(folder / "data"))
        os.chdir(folder)
        try:
            yield Runs(few_shot(), retrieval(), continual())
        finally:
            os.chdir(before)
