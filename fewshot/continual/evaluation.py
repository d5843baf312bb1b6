"""Accuracy of a method on tasks, task- and class-incremental from the same scores."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from fewshot.continual.method import Method
from fewshot.continual.scenario import Scenario
from fewshot.data.image_set import ImageSet
from fewshot.errors import InputError


class Accuracies(NamedTuple):
    """Accuracy on some tasks, float64 [tasks of the stream] each; nan for a task not measured."""

    task_incremental: NDArray[np.float64]
    class_incremental: NDArray[np.float64]


def evaluate(
    method: Method,
    scenario: Scenario,
    image_set: ImageSet,
    tasks: Iterable[int],
    *,
    device: torch.device,
    batch: int = 256,
) -> Accuracies:
    """Score the evaluated images of some tasks once, and predict twice.

    Task-incremental: the best score among the classes of the image's task. Class-incremental: that among
    `method.candidates()`, so that a task not yet seen has 0 unless the method makes its classes candidates.
    A task is nan, not measured, where the method scores every one of its classes -inf: it knows nothing of
    them. Of equal scores the first class counts.

    Raises:
        InputError: a score is nan: the weights have diverged.
    """
    til = np.full(len(scenario.tasks), np.nan)
    cil = til.copy()
    candidates = method.candidates().to(device)
    for number in tasks:
        task = scenario.tasks[number]
        own = torch.zeros_like(candidates)
        own[torch.from_numpy(task.classes).to(device)] = True
        right = torch.zeros(2, dtype=torch.int64, device=device)
        broken = torch.zeros((), dtype=torch.bool, device=device)
        known = torch.zeros((), dtype=torch.bool, device=device)
        for start in range(0, len(task.evaluated), batch):
            chosen = task.evaluated[start : start + batch]
            labels = torch.from_numpy(scenario.labels[chosen]).to(device)
            scores = method.scores(image_set.gather(chosen).to(device, non_blocking=True)).float()
            broken |= scores.isnan().any()
            known |= (scores[:, own] > -torch.inf).any()
            for row, among in enumerate((own, candidates)):
                # Where every candidate has -inf, argmax names the first class, candidate or not.
                guess = torch.where(among, scores, -torch.inf).argmax(dim=1)
                right[row] += (among[guess] & (guess == labels)).sum()
        if bool(broken):
            raise InputError(
                f"task {task.name} cannot be evaluated, a score is nan: the weights have diverged; lower "
                "optimizer.lr or set training.clip_norm=1"
            )
        if bool(known):
            til[number], cil[number] = (right.double() / len(task.evaluated)).tolist()
    return Accuracies(til, cil)
