"""The same seed gives the same bits wherever the images lie, and another seed others, in every recipe."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from programs import only_run, program, same

GIVEN = ["threads=1", "precision=float32", "backbone.width=4", "data.images_per_class=6", "data.size=16"]
EPISODES = ["ways=3", "shots=1", "queries=2"]
RECIPES = {
    "few_shot": ([*EPISODES, "steps=6", "validation.every=3", "validation.episodes=5", "augment=shift"],
                 [*EPISODES, "episodes=30"]),
    "retrieval": (["loss=proxy_anchor", "mixup=random", "steps=6", "validation.every=3", "sampler.classes=4",
                   "sampler.images=3", "head.dim=8"], ["evaluation=retrieval"]),
    "continual": (["continual=prd", "tasks=2", "scenario.classes=6", "steps=4", "sampler.batch=8",
                   "head.widths=[8,4]"], ["evaluation=continual"]),
    "maml": ([*EPISODES, "steps=2", "validation.every=2", "validation.episodes=2", "sampler.episodes=2"],
             [*EPISODES, "evaluation=maml", "episodes=3"]),
}  # fmt: skip


def trained(recipe: str, folder: Path, *words: str) -> dict[str, Any]:
    """What a run and its evaluation leave, but for the settings and the time."""
    training, evaluation = RECIPES[recipe]
    given = [f"recipe={recipe}", *GIVEN, *training, *words, f"output_dir={folder}"]
    program("train.py", *given, cwd=folder.parent)
    run = only_run(folder)
    # A stream was measured while it was trained.
    if recipe != "continual":
        program("eval.py", f"run={run}", *evaluation, "threads=1", cwd=folder.parent)
    left = {path.name: torch.load(path) for path in run.glob("*.pt")}
    left["log"] = [
        {key: value for key, value in json.loads(line).items() if key != "seconds"}
        for line in (run / "metrics.jsonl").read_text().splitlines()
    ]
    for path in run.glob("eval/*/*.npz"):
        with np.load(path) as arrays:
            numbers = {key: array for key, array in arrays.items() if array.dtype.kind in "bif"}
        left[path.name] = {key: torch.from_numpy(array) for key, array in numbers.items()}
    assert len(left) >= 4, left.keys()
    return {name: _without_settings(content) for name, content in left.items()}


def _without_settings(content: Any) -> Any:
    if not isinstance(content, dict):
        return content
    return {key: value for key, value in content.items() if key not in ("trained_on", "config")}


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_same_seed_gives_the_same_bits_wherever_the_images_lie(
    recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if recipe == "maml" and find_spec("learn2learn") is None:
        pytest.skip("MAML is learn2learn's: make learn2learn")
    monkeypatch.setenv("FEWSHOT_DATA", str(tmp_path / "data"))
    first = trained(recipe, tmp_path / "ram", "data.residency=ram")
    again = trained(recipe, tmp_path / "memmap", "data.residency=memmap")
    assert first.keys() == again.keys()
    for name, content in first.items():
        assert same(again[name], content), name
    other = trained(recipe, tmp_path / "other", "seed=1")
    assert not same(other["last.pt"], first["last.pt"]) and not same(other["log"], first["log"])
