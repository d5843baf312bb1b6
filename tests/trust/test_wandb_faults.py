"""wandb that fails at its start, half way or at its end costs a run one warning and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("wandb")
if sys.platform != "linux":
    pytest.skip("wandb's process is found in Linux's /proc", allow_module_level=True)

FAULT = """
import os, signal, sys
from pathlib import Path

fault = sys.argv.pop(1)
if fault == "start":
    import wandb
    def init(**_):
        raise wandb.errors.CommError("no server")
    wandb.init = init

def kill_wandb():
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and b"wandb-core" in (folder / "cmdline").read_bytes():
                os.kill(int(folder.name), signal.SIGKILL)
        except OSError:
            pass

from fewshot.tracking.wandb import WandbTracker

def before(method, when):
    def told(self, values, *rest):
        if when(values, *rest):
            kill_wandb()
        return method(self, values, *rest)
    return told

if fault == "half way":
    WandbTracker.scalars = before(WandbTracker.scalars, lambda values, step: step == 10)
if fault == "end":
    WandbTracker.close = before(WandbTracker.close, lambda status: True)

from fewshot.cli.commands import train
sys.exit(train.run(sys.argv[1:]))
"""


@pytest.mark.parametrize("fault", ["start", "half way", "end"])
def test_the_run_ends_well_with_one_warning(fault: str, packed: Path, tmp_path: Path) -> None:
    words = ["tracking=wandb", "steps=30", "training.log_every=5", "report=false", "ways=3", "shots=1"]
    words += ["threads=1", "backbone.width=4", "backbone.depth=2", "validation.every=0"]
    environment = {**os.environ, "FEWSHOT_DATA": str(packed), "WANDB_MODE": "offline"}
    done = subprocess.run(
        [sys.executable, "-c", FAULT, fault, *words],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    (warned,) = [line for line in done.stderr.splitlines() if "tracking" in line]
    assert warned.startswith("warning: tracking: wandb failed (")
    assert warned.endswith("; the run goes on without it")
    (run,) = tmp_path.glob("runs/*")
    assert json.loads((run / "run.json").read_text())["status"] == "finished"
    steps = [json.loads(line).get("step") for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert {10, 20, 30} <= set(steps)
