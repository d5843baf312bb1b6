"""A run that is killed at moments that nothing knows ends with the bits of one that is not.

Once a recipe here; FEWSHOT_KILLS=7 kills each so often. The moments lie anywhere: while a step is computed, a
checkpoint written, a task ended, an evaluation made.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

KILLS = int(os.environ.get("FEWSHOT_KILLS", "1"))
SEED = int(os.environ.get("FEWSHOT_KILLS_SEED", "0"))
COMMON = ["threads=1", "report=false", "precision=float32", "backbone.width=8", "training.save_every=3"]
RECIPES = {
    "few_shot": ["steps=150", "validation.every=40", "validation.episodes=50", "training.ema=0.9"],
    "retrieval": [
        "recipe=retrieval", "loss=contrastive", "memory=cross_batch", "steps=120", "validation.every=50",
        "sampler.classes=8", "sampler.images=4", "head=linear", "head.dim=16",
    ],
    "continual": [
        "recipe=continual", "continual=prd", "tasks=4", "scenario.classes=12", "steps=20", "sampler.batch=16",
        "head.widths=[16,8]",
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, packed: Path) -> Path:
    """Where every recipe has a straight run and one that was killed."""
    place = tmp_path_factory.mktemp("work")
    jobs = []
    for recipe in RECIPES:
        for how, kills in (("straight", 0), ("killed", KILLS)):
            folder = place / recipe / how
            folder.mkdir(parents=True)
            words = [*COMMON, *RECIPES[recipe], f"output_dir={folder}"]
            jobs.append({"words": words, "folder": str(folder), "kills": kills, "seed": SEED})
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("killed_at_random.py"))],
        input=json.dumps(jobs), capture_output=True, text=True, cwd=place, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "FEWSHOT_DATA": str(packed)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for (steps, status), job in zip(json.loads(done.stdout), jobs, strict=True):
        assert status == 0 and len(steps) == job["kills"], (job["words"], steps, status)
        print(f"{job['folder']}: killed when {steps} steps were saved")
    return place


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b) or bool(torch.equal(a.nan_to_num(-1), b.nan_to_num(-1)))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a if k != "seconds")
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


@pytest.mark.parametrize("recipe", RECIPES)
def test_killed_at_random_moments_it_ends_with_the_same_bits(place: Path, recipe: str) -> None:
    # A run that was killed before its first checkpoint stays beside the one that took its place.
    straight, killed = (
        next((place / recipe / how).glob("*/last.pt")).parent for how in ("straight", "killed")
    )
    files = sorted(path.name for path in straight.glob("*.pt"))
    assert files and files == sorted(path.name for path in killed.glob("*.pt"))
    for name in files:
        assert same(torch.load(killed / name), torch.load(straight / name)), name
    logged = []
    for run in (straight, killed):
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        logged.append([{key: value for key, value in line.items() if key != "seconds"} for line in lines])
    assert logged[0] == logged[1]
    assert not list(killed.rglob(".*")), "what a killed write left is removed by resume"
