"""A run of the first version of this project, stopped at step 20 of 60, is evaluated and goes on as it was.

`first_version` holds its files as commit fe5cbd6 wrote them. What that commit said of them stands below.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from programs import program

GIVEN = Path(__file__).with_name("first_version")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEWSHOT_DATA", str(tmp_path / "data"))
    return Path(shutil.copytree(GIVEN, tmp_path / "run"))


def test_it_is_evaluated_and_goes_on(run: Path, tmp_path: Path) -> None:
    words = ["ways=3", "shots=2", "queries=4", "episodes=500", "threads=1"]
    shown = program("eval.py", f"run={run}", *words, cwd=tmp_path).stdout
    assert "sha256 ba1c33bd6579" in shown
    assert "70.90 +- 1.42 %" in shown

    program("train.py", f"resume={run}", cwd=tmp_path)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [20, 20, 40, 40, 60, 60]
    # On another processor the last digits differ.
    assert lines[4]["train/loss"] == pytest.approx(2.3125688552856447, rel=1e-4)
    assert lines[5]["val/accuracy"] == pytest.approx(0.6916666666666667, abs=0.01)
    assert json.loads((run / "run.json").read_text())["status"] == "finished"
