"""Each benchmark runs, at sizes that say nothing, without the libraries that it compares with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
ROWS = {
    "continual.py": ("stream", "plain loop"),
    "distributed.py": ("1 process", "2 processes"),
    "evaluation.py": ("prototype, float32", "prototype, bf16", "logistic", "indices, a testbed", "tensors"),
    "losses.py": ("n_pair", "normalized_softmax"),
    "metrix.py": ("contrastive",),
    "retrieval.py": ("nearest", "retrieve", "recall@1 0.9"),
    "speedrun.py": ("seed 0",),
    "startup.py": ("train.py --help", "import torch"),
    "training.py": ("ours, float32", "ours, bf16", "no easyfsl to compare with"),
    "training_step.py": ("network forward", "outside the network"),
}


def test_each_is_tried() -> None:
    scripts = [path for path in (CHECKOUT / "benchmarks").glob("*.py") if "__main__" in path.read_text()]
    assert {path.name for path in scripts} == set(ROWS)


@pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks read the processes of Linux")
@pytest.mark.parametrize("script", ROWS)
def test_runs_without_the_peers(script: str, packed: Path, tmp_path: Path) -> None:
    for peer in ("pytorch_metric_learning", "faiss", "easyfsl", "learn2learn"):
        (tmp_path / f"{peer}.py").write_text("raise ImportError\n")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{CHECKOUT}", "OMP_NUM_THREADS": "1"}
    environment["FEWSHOT_DATA"] = str(packed)
    path = str(CHECKOUT / "benchmarks" / script)
    done = subprocess.run(
        [sys.executable, path, "--quick"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for row in ROWS[script]:
        assert any(line.startswith(row) for line in lines), done.stdout
