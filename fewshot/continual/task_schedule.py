"""The learning rate of a stream: one schedule for each task, or for the first alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from torch.optim import Optimizer

from fewshot.errors import InputError
from fewshot.training.schedule import Schedule

ScheduleOver = Literal["task", "first_task", "stream"]
"""What a schedule runs over: each task anew, the first task (its initial rate later), or the whole stream."""


class TaskSchedule:
    """A schedule that begins anew with a task, from the optimizer's initial rates; its moments go on.

    Args:
        optimizer: whose groups' rates are set.
        make: the schedule of one task, from its steps and its steps an epoch.
        constant: the schedule without change, for tasks after the first with over="first_task".
        steps, steps_per_epoch: of each task.
        over: "task" or "first_task".
    """

    def __init__(
        self,
        optimizer: Optimizer,
        make: Callable[[int, int], Schedule],
        constant: Callable[[], Schedule],
        steps: Sequence[int],
        steps_per_epoch: Sequence[int],
        over: Literal["task", "first_task"],
    ) -> None:
        self.optimizer = optimizer
        self.make = make
        self.constant = constant
        self.steps = steps
        self.steps_per_epoch = steps_per_epoch
        self.over = over
        self.starts = np.concatenate([[0], np.cumsum(steps)])
        self._rates = [group["lr"] for group in optimizer.param_groups]
        self._begin(0)

    def finished(self, steps: int) -> None:
        task = self._task(steps)
        if task != self.task:
            self._begin(task)
        else:
            self.current.finished(steps - int(self.starts[task]))

    def state_dict(self) -> dict[str, Any]:
        return self.current.state_dict()

    def load_state_dict(self, state: dict[str, Any], steps: int) -> None:
        self._begin(self._task(steps))
        self.current.load_state_dict(state, steps - int(self.starts[self.task]))

    def _task(self, steps: int) -> int:
        return min(int(np.searchsorted(self.starts, steps, side="right")), len(self.steps)) - 1

    def _begin(self, task: int) -> None:
        self.task = task
        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate
        if task and self.over == "first_task":
            self.current = self.constant()
        else:
            self.current = self.make(self.steps[task], self.steps_per_epoch[task])


def check_over(over: str) -> None:
    """Refuse a value that is no `ScheduleOver`.

    Raises:
        InputError: as said.
    """
    if over not in ("task", "first_task", "stream"):
        raise InputError(f"scenario.schedule={over} must be task, first_task or stream")
