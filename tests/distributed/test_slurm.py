"""Jobs of Hydra's submitit launcher: SLURM's options compose, and its local mode trains in two tasks."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from launching import CHECKOUT, EPISODES, started

pytest.importorskip(
    "hydra_plugins.hydra_submitit_launcher", reason="pip install hydra-submitit-launcher to test it"
)


def test_the_launcher_composes() -> None:
    with initialize_config_dir(str(CHECKOUT / "conf"), version_base="1.3"):
        overrides = ["hydra/launcher=slurm", "hydra.launcher.partition=gpu"]
        launcher = compose("train", overrides, return_hydra_config=True).hydra.launcher
    assert launcher._target_.endswith("SlurmLauncher")
    assert launcher.partition == "gpu" and launcher.tasks_per_node == 1


def test_two_local_tasks_share_a_run(tmp_path: Path) -> None:
    words = [
        "-m", "hydra/launcher=submitit_local", "hydra.launcher.tasks_per_node=2", *EPISODES, "seed=7",
        "steps=2", "validation.every=2",
    ]  # fmt: skip
    process = started([sys.executable, str(CHECKOUT / "train.py"), *words], tmp_path)
    _, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    (record,) = (json.loads(path.read_text()) for path in tmp_path.glob("runs/*/run.json"))
    assert record["status"] == "finished" and record["machine"]["processes"] == 2
