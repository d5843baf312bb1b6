"""One stream of steps through the tasks of a scenario: the loop sees a feed, the method its tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fewshot.continual.accuracy_matrix import KINDS, AccuracyMatrix
from fewshot.continual.evaluation import Accuracies, evaluate
from fewshot.continual.method import Method
from fewshot.continual.scenario import Scenario
from fewshot.data.image_set import ImageSet
from fewshot.models.embedder import Embedder
from fewshot.randomness import generator, stream_key
from fewshot.sampling.feed import Augment, Batch, PlainSampler

BLOCK = 256
"""Images that a method is shown at once when a task ends, and that are evaluated at once."""


class StreamFeed:
    """Batches of one task after another, and what happens between tasks.

    Before a task's first step the task before it is finished (the method's `end_task`, then the accuracy on
    every task so far) and the method's `begin_task` called. Both depend on the step alone and their results
    lie in the state of the method and of this feed, so that a run resumed anywhere equals the straight one.
    The last task is finished by `finish`, when the loop is over.

    Args:
        scenario: the tasks.
        image_set: where the images are.
        method: what learns.
        samplers: of each task's batches.
        steps: of each task.
        augment: (uint8 images, generator) -> float images.
        device: where the batch is wanted.
        seed: of the augmentation.
        learned: called with the number of a task after the accuracies that follow it were measured.
    """

    def __init__(
        self,
        scenario: Scenario,
        image_set: ImageSet,
        method: Method,
        samplers: Sequence[PlainSampler],
        steps: Sequence[int],
        augment: Augment,
        device: torch.device,
        seed: int,
        learned: Callable[[int], None] = lambda task: None,
    ) -> None:
        self.scenario = scenario
        self.image_set = image_set
        self.method = method
        self.samplers = samplers
        self.augment = augment
        self.device = device
        self.seed = seed
        self.learned = learned
        self.ends = np.cumsum(steps)
        """int64 [tasks], the step at which each task is over."""
        tasks = len(scenario.tasks)
        self._accuracies = {
            kind: torch.full((tasks, tasks), torch.nan, dtype=torch.float64) for kind in KINDS
        }
        self._untrained = torch.full((tasks,), torch.nan, dtype=torch.float64)

    @property
    def steps_per_epoch(self) -> int:
        """Of the first task."""
        return self.samplers[0].steps_per_epoch

    def task_of(self, step: int) -> tuple[int, int]:
        """The task that a step belongs to, and its number within the task."""
        task = int(np.searchsorted(self.ends, step, side="right"))
        return task, step - (int(self.ends[task - 1]) if task else 0)

    def __call__(self, step: int) -> Batch:
        task, within = self.task_of(step)
        drawn = self.samplers[task].step(within)
        places = self.scenario.labels[drawn]
        images = self.image_set.gather(drawn).to(self.device, non_blocking=True)
        labels = torch.from_numpy(places).to(self.device, non_blocking=True)
        views = self.method.views
        augmented = self.augment(
            images.repeat(views, 1, 1, 1), generator(self.seed, "augmentation", step, self.device)
        )
        return Batch(augmented, labels.repeat(views), largest_class=views * int(np.bincount(places).max()))

    def refresh(self, embedder: Embedder, step: int) -> None:
        """Between tasks: finish the one before and begin the next; see the class."""
        task, within = self.task_of(step)
        if within:
            return
        # A method that draws when a task begins or ends does so alike in a resumed run.
        torch.manual_seed(stream_key(self.seed, f"between tasks {task}") >> 1)
        if task == 0:
            coming = self._evaluate(range(1, len(self.scenario.tasks)))
            self._untrained.copy_(torch.from_numpy(coming.task_incremental))
        else:
            self._finish(task - 1)
        self.method.begin_task(torch.from_numpy(self.scenario.tasks[task].classes))

    def finish(self) -> None:
        """Finish the last task; the stream is over."""
        torch.manual_seed(stream_key(self.seed, "after the stream") >> 1)
        self._finish(len(self.scenario.tasks) - 1)

    def matrices(self) -> dict[str, AccuracyMatrix]:
        """What was measured so far, by kind; task-incrementally on the coming task too."""
        images = np.array([len(task.evaluated) for task in self.scenario.tasks])
        names = tuple(task.name for task in self.scenario.tasks)
        return {
            kind: AccuracyMatrix(values.numpy().copy(), images, names)
            for kind, values in self._accuracies.items()
        }

    @property
    def untrained(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """float64 [tasks], the task-incremental accuracy before any training; nan of the first, and where
        the method knew nothing of a task's classes."""
        return self._untrained.numpy().copy()

    def state_dict(self) -> dict[str, Any]:
        return {**self._accuracies, "untrained": self._untrained}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for kind, values in self._accuracies.items():
            values.copy_(state[kind])
        self._untrained.copy_(state["untrained"])

    def task_images(self, task: int) -> Iterator[tuple[Tensor, Tensor]]:
        """A task's training images as they are and their labels, in blocks on the device."""
        images = self.scenario.tasks[task].train
        for start in range(0, len(images), BLOCK):
            chosen = images[start : start + BLOCK]
            labels = torch.from_numpy(self.scenario.labels[chosen])
            yield self.image_set.gather(chosen).to(self.device, non_blocking=True), labels.to(self.device)

    def _finish(self, task: int) -> None:
        self.method.end_task(lambda: self.task_images(task))
        seen = self._evaluate(range(task + 1))
        for kind, found in zip(KINDS, seen, strict=True):
            self._accuracies[kind][task] = torch.from_numpy(found)
        if task + 1 < len(self.scenario.tasks):
            coming = self._evaluate([task + 1]).task_incremental[task + 1]
            self._accuracies[KINDS[0]][task, task + 1] = float(coming)
        self.learned(task)

    def _evaluate(self, tasks: Sequence[int]) -> Accuracies:
        return evaluate(self.method, self.scenario, self.image_set, tasks, device=self.device, batch=BLOCK)
