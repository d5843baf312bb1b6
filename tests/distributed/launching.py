"""How tests start several processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def torchrun(count: int, script: Path, *words: str, cwd: Path) -> subprocess.Popen[str]:
    """Start `count` processes of a script, with one thread each."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    return started([*launcher, str(script), *words], cwd)


def started(words: list[str], cwd: Path, further: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    left_out = ("FEWSHOT_DATA", "RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    environment = {key: value for key, value in os.environ.items() if key not in left_out}
    path = os.pathsep.join(filter(None, (str(CHECKOUT), os.environ.get("PYTHONPATH"))))
    environment |= {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", **(further or {})}
    return subprocess.Popen(
        words, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
