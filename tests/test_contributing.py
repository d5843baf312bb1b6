"""The diffs of CONTRIBUTING.md apply, and the tests in them pass."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_the_diffs_apply_and_their_tests_pass(tmp_path: Path) -> None:
    for name in ("fewshot", "conf", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "setup.cfg", tmp_path)
    text = (ROOT / "CONTRIBUTING.md").read_text()
    diffs = re.findall(r"^```diff\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert diffs
    for diff in diffs:
        subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
        subprocess.run(["git", "apply"], input=diff, text=True, cwd=tmp_path, check=True)
    files = ("losses/test_align_uniform.py", "losses/test_loss_configs.py", "models/test_convmixer.py")
    new = [*(f"tests/{file}" for file in files), "-k", "align_uniform or convmixer"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *new]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 passed" in done.stdout
