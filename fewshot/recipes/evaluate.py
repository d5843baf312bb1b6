"""Evaluate a trained model, in the way that `evaluation=` names."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from omegaconf import DictConfig

from fewshot.config import instantiate


class Evaluation(Protocol):
    """One way of evaluating; its fields are the options `evaluation.*`."""

    def __call__(self, config: DictConfig) -> Path: ...


def evaluate(config: DictConfig) -> Path:
    """Evaluate as `conf/eval.yaml` says; print and save the result.

    Returns:
        the path of result.json; the arrays of the result lie beside it.

    Raises:
        InputError: anything the user can mend.
    """
    evaluation: Evaluation = instantiate(config.evaluation)
    return evaluation(config)
