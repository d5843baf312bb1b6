"""A built wheel: it carries conf and the class lists, and works without the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("setuptools", reason="the wheel is built with the setuptools of this environment")
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("fewshot", "conf"):
        shutil.copytree(CHECKOUT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "LICENSE"):
        shutil.copy(CHECKOUT / name, source)
    (source / "README.md").write_text("fewshot\n")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "-q",
        "-w",
        str(target),
        ".",
    ]
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=120)
    (built,) = target.glob("*.whl")
    return built


def test_holds_what_the_checkout_holds(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    conf = {f"fewshot/conf/{p.relative_to(CHECKOUT / 'conf')}" for p in (CHECKOUT / "conf").rglob("*.yaml")}
    package = {
        str(p.relative_to(CHECKOUT))
        for p in (CHECKOUT / "fewshot").rglob("*")
        if p.is_file() and "__pycache__" not in p.parts
    }
    assert conf | package <= held
    assert not any(name.startswith(("conf/", "tests/", "train.py")) for name in held)


def test_runs_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    working = tmp_path / "working"
    working.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "PYTHONSAFEPATH": "1"}
    code = (
        "import fewshot, sys; sys.stderr.write(fewshot.__file__);"
        "from fewshot.cli.commands.train import console; console()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "loss=icnn", "--cfg", "job"],
        cwd=working, env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert str(tmp_path / "site") in done.stderr and done.returncode == 0
    assert "_target_: fewshot.losses.ICNN" in done.stdout
    assert list(working.iterdir()) == []
