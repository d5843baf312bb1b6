"""Check a command without running it, and say what would run.

    python -m fewshot validate loss=icnn data=miniimagenet            what train.py would do
    python -m fewshot validate eval.py shots=5 data=cub               what eval.py would do
    python -m fewshot validate predict.py support=examples query=photos
    python -m fewshot validate experiment=prd/split_cub device=cuda
    python -m fewshot validate -m loss=icnn,prototypical seed=0,1     every run of a multirun
    python -m fewshot validate python train.py loss=icnn k=3          a whole command, pasted

Keys, choices, types and targets are checked, settings that would be ignored are refused, the files of the
data set are looked for, and every part is built as the run would build it, but without weights and images.
Nothing is trained, fetched or written. A mistake is one line and status 2.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from fewshot.cli.arguments import parse
from fewshot.cli.commands.eval import PROGRAM as EVAL
from fewshot.cli.commands.predict import PROGRAM as PREDICT
from fewshot.cli.commands.train import PROGRAM as TRAIN
from fewshot.cli.launch import main
from fewshot.cli.program import Program
from fewshot.errors import InputError

if TYPE_CHECKING:
    from omegaconf import DictConfig

_BEFORE = ("python", "python3", "-m", "fewshot")
_PROGRAMS = {
    **dict.fromkeys(("train", "train.py", "fewshot-train"), TRAIN),
    **dict.fromkeys(("eval", "eval.py", "fewshot-eval"), EVAL),
    **dict.fromkeys(("predict", "predict.py", "fewshot-predict"), PREDICT),
}


def run(words: Sequence[str]) -> int:
    """Validate the command; returns the exit status."""
    program, rest = _command(list(words))

    def plan(config: DictConfig) -> None:
        from fewshot.recipes.plan import plan_evaluation, plan_training
        from fewshot.recipes.prediction_plan import plan_prediction

        plans = {"train": plan_training, "eval": plan_evaluation, "predict": plan_prediction}
        lines = plans[program.name](config)
        print("\n".join(f"{title:<12}{text}" for title, text in lines), flush=True)

    checked = replace(program, instead=plan)
    if parse(rest).flag("--multirun", "-m") is None:
        return main(checked, rest)
    for word in rest:
        if word.startswith(("hydra/sweeper", "hydra.sweeper", "hydra.mode")):
            raise InputError(
                f"validate: {word}: a search draws its values as it goes; leave it out, with its ranges"
            )
    # A launcher would start jobs elsewhere. Hydra writes what was swept over, which must not stay.
    here = [word for word in rest if not word.startswith(("hydra/launcher", "hydra.launcher"))]
    with tempfile.TemporaryDirectory() as folder:
        return main(checked, [*here, f"hydra.sweep.dir={folder}"])


def _command(words: list[str]) -> tuple[Program, list[str]]:
    """The program that the words name, train.py if none, and the words after it."""
    rest = list(words)
    start = next((place for place, word in enumerate(rest) if _last(word) not in _BEFORE), len(rest))
    if start < len(rest) and (program := _PROGRAMS.get(_last(rest[start]))):
        return program, rest[start + 1 :]
    return TRAIN, rest


def _last(word: str) -> str:
    return word.rpartition("/")[2] if "=" not in word else word
