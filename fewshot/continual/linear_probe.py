"""What the features still know of each task: a linear classifier a task on the frozen encoder."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from fewshot.continual.scenario import Scenario

Embed = Callable[[NDArray[np.int64]], NDArray[np.float32]]
"""Features [n, dim] of images int64 [n], from the frozen encoder."""


def linear_probe(embed: Embed, scenario: Scenario, c: float = 1.0) -> NDArray[np.float64]:
    """Task-incremental accuracy of logistic regression on the features of a task's own training images.

    It measures the representation alone (Davari et al. 2022, arXiv 2203.13381): heads and prototypes have no
    part in it. Features are standardised by the task's training images.

    Args:
        embed: features of images.
        scenario: whose tasks are probed, each by itself.
        c: inverse strength of the penalty, as scikit-learn has it.

    Returns:
        float64 [tasks]; 1 for a task of one class.
    """
    found = np.ones(len(scenario.tasks))
    for number, task in enumerate(scenario.tasks):
        if len(task.classes) < 2:
            continue
        train, evaluated = embed(task.train), embed(task.evaluated)
        mean, spread = train.mean(0), train.std(0).clip(min=1e-6)
        probe = LogisticRegression(C=c, max_iter=1000)
        probe.fit((train - mean) / spread, scenario.labels[task.train])
        found[number] = probe.score((evaluated - mean) / spread, scenario.labels[task.evaluated])
    return found
