"""Evaluate a trained model on unseen classes: `python eval.py` by another name.

    python -m fewshot eval KEY=VALUE ...

`python -m fewshot eval --help` lists the keys.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fewshot.cli.launch import main
from fewshot.cli.program import Program
from fewshot.cli.schema import EvalSchema

PROGRAM = Program(
    name="eval",
    summary="Embeds the images of unseen classes once, then classifies thousands of episodes, or lets each\n"
    "image search the others (evaluation=retrieval), or measures a learned stream anew\n"
    "(evaluation=continual); prints means with their 95% intervals. Without arguments: the newest completed\n"
    "few-shot run on its own test classes.",
    schema=EvalSchema,
    recipe="fewshot.recipes.evaluate.evaluate",
    examples=(
        ("", "the newest completed few-shot run"),
        ("run=runs/RUN shots=1", "a run by name, 1-shot"),
        ("shots=5 data=cub", "the newest run on another data set's test classes"),
        ("shots=[1,5,10]", "a shot curve in one pass"),
        ("episode=open_set", "harder episodes: with queries of unknown classes, to be rejected"),
        ("temperature=fit", "calibrated on validation episodes: ECE and NLL before and after"),
        ("evaluation=retrieval", "the newest retrieval run: Recall@K, MAP@R, NMI and others"),
        ("evaluation=retrieval evaluation.recall_at=[1,10,100]", "other K"),
        ("evaluation=continual", "the newest continual run: each task of its stream"),
    ),
)


def run(words: Sequence[str]) -> int:
    """Run the program; returns its exit status."""
    return main(PROGRAM, words)


def console() -> None:
    """The console script `fewshot-eval`."""
    sys.exit(main(PROGRAM))
