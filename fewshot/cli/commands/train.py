"""Train a model: `python train.py` by another name.

    python -m fewshot train KEY=VALUE ...

`python -m fewshot train --help` lists the keys.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fewshot.cli.launch import main
from fewshot.cli.program import Program
from fewshot.cli.schema import TrainSchema

PROGRAM = Program(
    name="train",
    summary="Trains an embedding on base classes and keeps the weights that are best on validation classes;\n"
    "eval.py then tests it on classes never seen. Without arguments: prototypical networks on the built-in\n"
    "glyphs.",
    schema=TrainSchema,
    recipe="fewshot.recipes.few_shot.train",
    examples=(
        ("", "the default, in minutes on a CPU"),
        ("loss=icnn data=miniimagenet", "another loss on real images"),
        ("loss=icnn loss.k=8 shots=1 sampler.ways=20", "options of a part; train 20-way, test 5-way 1-shot"),
        ("recipe=retrieval loss=proxy_anchor mixup=feature data=cub", "retrieval, with Metrix mixup"),
        ("-m loss=icnn,prototypical seed=0,1,2", "six runs"),
        ("resume=runs/RUN", "go on with a run that was stopped"),
    ),
)


def run(words: Sequence[str]) -> int:
    """Run the program; returns its exit status."""
    return main(PROGRAM, words)


def console() -> None:
    """The console script `fewshot-train`."""
    sys.exit(main(PROGRAM))
