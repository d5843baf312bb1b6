"""The diffs of CONTRIBUTING.md apply, and the tests in them pass."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NEW = "align_uniform or convmixer or kuzushiji49"


def test_the_diffs_apply_and_their_tests_pass(tmp_path: Path) -> None:
    for name in ("fewshot", "conf", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "setup.cfg", tmp_path)
    text = (ROOT / "CONTRIBUTING.md").read_text()
    diffs = re.findall(r"^```diff\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert len(diffs) == 3
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    made: list[str] = []
    for diff in diffs:
        subprocess.run(["git", "apply"], input=diff, text=True, cwd=tmp_path, check=True)
        files = re.findall(r"^\+\+\+ b/(.*)$", diff, re.MULTILINE)
        # Code, its YAML and its test: if it needs a fourth place, the design is wrong.
        assert sorted(file.split("/")[0] for file in files) == ["conf", "fewshot", "tests"]
        made += files
    code = [file for file in made if file.endswith(".py")]
    run("ruff", "check", "--config", str(ROOT / "pyproject.toml"), *code, at=tmp_path)
    everywhere = ("losses/test_loss_configs.py", "data/test_data_configs.py", "test_every_config.py")
    tests = [file for file in made if file.startswith("tests/")] + [f"tests/{name}" for name in everywhere]
    said = run("pytest", "-q", "-p", "no:cacheprovider", *tests, "-k", NEW, at=tmp_path)
    assert int(re.search(r"(\d+) passed", said)[1]) >= 10, said  # type: ignore[index]


def run(module: str, *words: str, at: Path) -> str:
    """What a module said; it must succeed."""
    done = subprocess.run([sys.executable, "-m", module, *words], cwd=at, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
