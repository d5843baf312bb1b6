"""Label your own images from a few examples of each class: `python predict.py` by another name.

    python -m fewshot predict support=DIR query=DIR KEY=VALUE ...

`python -m fewshot predict --help` lists the keys.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fewshot.cli.launch import main
from fewshot.cli.program import Program
from fewshot.cli.schema import PredictSchema

PROGRAM = Program(
    name="predict",
    summary="Labels images from a few examples: support=DIR holds a folder of images for each class,\n"
    "query=DIR (a folder, an image, a .txt file of paths, or a list) what is to be labelled. Nothing is\n"
    "trained. Writes predictions.csv, predictions.json and index.html, a page to look at, into a new folder.",
    schema=PredictSchema,
    recipe="fewshot.recipes.predict.predict",
    examples=(
        ("support=examples query=photos", "with the newest completed run"),
        ("support=examples query=photos/one.jpg run=runs/RUN", "one image, a run by name"),
        ("support=examples query=[a.jpg,b.jpg]", "several images"),
        (
            "support=examples query=photos backbone=timm backbone.name=vit_small_patch14_dinov2.lvd142m",
            "no run at all: a model of timm with its published weights and its own transform",
        ),
        (
            "support=examples query=photos backbone=timm backbone.name=resnet50 backbone.weights=FILE",
            "the same from a file of weights",
        ),
        ("support=examples query=photos classifier=logistic top=5", "another classifier, five classes each"),
        ("support=examples query=photos threshold=4.5", "another distance from which an image is unlike all"),
        ("store=STORE query=photos", "by what python -m fewshot store make kept of a support"),
        ("model=DIR support=examples query=photos", "a model that python -m fewshot export wrote"),
        ("resume=runs/FOLDER", "go on where it was stopped"),
    ),
)


def run(words: Sequence[str]) -> int:
    """Run the program; returns its exit status."""
    return main(PROGRAM, words)


def console() -> None:
    """The console script `fewshot-predict`."""
    sys.exit(main(PROGRAM))
