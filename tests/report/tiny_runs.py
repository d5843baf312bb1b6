"""Tiny runs of the three recipes, made in the working directory."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from fewshot.cli.commands import eval as eval_
from fewshot.cli.commands import train

HOSTILE = ('<img src=x onerror="alert(1)">', "a&b'c", "</title><script>alert(2)<", "{{7*7}}", "naïve 猫 ✗")
SMALL = ["threads=1", "precision=float32", "backbone.width=8", "report=false", "steps=6"]
GLYPHS = ["data.images_per_class=9"]


class Runs(NamedTuple):
    """Folders of the runs.

    Attributes:
        few_shot: on glyphs, with a shot curve.
        retrieval: on a folder whose classes have hostile names.
        continual: few-shot sessions on glyphs.
    """

    few_shot: Path
    retrieval: Path
    continual: Path


def few_shot() -> Path:
    validation = ["validation.every=3", "validation.episodes=10", "ways=3", "shots=2", "queries=4"]
    assert train.run([*SMALL, *GLYPHS, *validation, "output_dir=runs/few_shot"]) == 0
    words = ["shots=[1,3]", "ways=3", "queries=5", "episodes=40", "threads=1", "report=true"]
    assert eval_.run(["output_dir=runs/few_shot", *words]) == 0
    return only(Path("runs/few_shot"))


def retrieval() -> Path:
    words = ["recipe=retrieval", "data=folder", "data.path=pictures", "data.size=16", "data.split=auto"]
    parts = ["head.dim=16", "sampler.classes=3", "sampler.images=2", "validation.every=3"]
    assert train.run([*SMALL, *words, *parts, "output_dir=runs/retrieval"]) == 0
    assert eval_.run(["evaluation=retrieval", "output_dir=runs/retrieval", "threads=1", "report=false"]) == 0
    return only(Path("runs/retrieval"))


def continual() -> Path:
    words = [
        "recipe=continual",
        "continual=nearest_mean",
        "tasks=3",
        "scenario.classes=9",
        "scenario.shots=2",
    ]
    assert train.run([*SMALL, *GLYPHS, *words, "sampler.batch=8", "output_dir=runs/continual"]) == 0
    return only(Path("runs/continual"))


def only(folder: Path) -> Path:
    (run,) = [path.resolve() for path in folder.iterdir() if path.is_dir()]
    return run


def hostile_pictures(folder: Path) -> None:
    """Five training classes, and five test classes with names that want to be HTML."""
    draw = np.random.default_rng(0)
    names = [("train", f"colour{n}") for n in range(5)] + [
        ("test", name.replace("/", "")) for name in HOSTILE
    ]
    for part, name in names:
        below = folder / part / name
        below.mkdir(parents=True)
        colour = draw.integers(30, 226, 3)
        for image in range(4):
            pixels = np.clip(colour + draw.normal(0, 30, (16, 16, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(below / f"{image}.png")
