"""Measures of a stream, from its accuracy matrix a[i, j]: the accuracy on task j after task i.

T is the number of tasks, counted from 0. A measure that is not defined (forgetting of one task) is nan.
With tasks of unequal size every mean over tasks has a second form, weighted by the tasks' images.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fewshot.continual.accuracy_matrix import AccuracyMatrix

Matrix = NDArray[np.float64]
"""float64 [tasks, tasks]; what lies above the diagonal is not looked at, but by forward transfer."""


def final_average(a: Matrix, weights: NDArray[np.int64] | None = None) -> float:
    """mean over j of a[T-1, j]; with weights [tasks], the weighted mean."""
    return float(np.average(a[-1], weights=weights))


def average_incremental(a: Matrix, weights: NDArray[np.int64] | None = None) -> float:
    """mean over i of (mean over j <= i of a[i, j]) (Rebuffi et al. 2017); weights are of the inner mean."""
    tasks = len(a)
    shares = np.ones(tasks) if weights is None else weights
    return float(np.mean([np.average(a[i, : i + 1], weights=shares[: i + 1]) for i in range(tasks)]))


def forgetting(a: Matrix) -> float:
    """mean over j < T-1 of (max over j <= i < T-1 of a[i, j] - a[T-1, j]) (Chaudhry et al. 2018)."""
    return float(np.mean(forgetting_of_tasks(a))) if len(a) > 1 else float("nan")


def forgetting_of_tasks(a: Matrix) -> NDArray[np.float64]:
    """Of each task but the last: float64 [tasks - 1]."""
    best = np.where(np.tri(len(a) - 1, dtype=bool), a[:-1, :-1], -np.inf).max(axis=0, initial=-np.inf)
    lost: NDArray[np.float64] = best - a[-1, :-1]
    return lost


def backward_transfer(a: Matrix) -> float:
    """BWT = mean over j < T-1 of (a[T-1, j] - a[j, j]) (Lopez-Paz & Ranzato 2017)."""
    return float(np.mean(backward_transfer_of_tasks(a))) if len(a) > 1 else float("nan")


def backward_transfer_of_tasks(a: Matrix) -> NDArray[np.float64]:
    """Of each task but the last: float64 [tasks - 1]."""
    transferred: NDArray[np.float64] = a[-1, :-1] - np.diagonal(a)[:-1]
    return transferred


def forward_transfer(a: Matrix, untrained: NDArray[np.float64]) -> float:
    """FWT = mean over j > 0 of (a[j-1, j] - b[j]) (Lopez-Paz & Ranzato 2017).

    It is nan where the accuracy on the coming task was not measured: a method without a head or prototype of
    a class before its task has none.

    Args:
        a: with the diagonal above the main one.
        untrained: float64 [tasks], b, the accuracy of the model before any training.
    """
    return float(np.mean(np.diagonal(a, 1) - untrained[1:])) if len(a) > 1 else float("nan")


def learning_accuracy(a: Matrix) -> float:
    """mean over j of a[j, j]: how well a task is learned when it comes (Riemer et al. 2019)."""
    return float(np.diagonal(a).mean())


class Session(NamedTuple):
    """Accuracies after one session of few-shot class-incremental learning, float64 [sessions] each.

    Attributes:
        all: over the images of all classes so far.
        base: over those of the first session.
        new: over those of the later ones; nan after the first session.
        harmonic_mean: 2 base new / (base + new); nan after the first session, 0 where both are 0.
    """

    all: NDArray[np.float64]
    base: NDArray[np.float64]
    new: NDArray[np.float64]
    harmonic_mean: NDArray[np.float64]


def sessions(a: Matrix, images: NDArray[np.int64]) -> Session:
    """Base and new classes apart (Peng et al. 2022, ALICE): means over images, not over tasks.

    Args:
        a: class-incremental, the first task being the base session.
        images: int64 [tasks], evaluated images of each task.
    """
    base = a[:, 0].copy()
    every, new = base.copy(), np.full(len(a), np.nan)
    for i in range(1, len(a)):
        every[i] = np.average(a[i, : i + 1], weights=images[: i + 1])
        new[i] = np.average(a[i, 1 : i + 1], weights=images[1 : i + 1])
    total = base + new
    harmonic = np.divide(2 * base * new, total, out=np.where(np.isnan(new), np.nan, 0.0), where=total > 0)
    return Session(every, base, new, harmonic)


def measures(matrix: AccuracyMatrix) -> dict[str, float]:
    """Every measure of a finished stream by name, forward transfer apart.

    Raises:
        InputError: the stream is not finished.
    """
    a = matrix.accuracy
    for task in range(len(a)):
        matrix.after(task)
    found = {
        "final_average": final_average(a),
        "average_incremental": average_incremental(a),
        "forgetting": forgetting(a),
        "backward_transfer": backward_transfer(a),
        "learning_accuracy": learning_accuracy(a),
    }
    if len(set(matrix.images.tolist())) > 1:
        found["final_average_by_images"] = final_average(a, matrix.images)
        found["average_incremental_by_images"] = average_incremental(a, matrix.images)
    return found
