"""What every method of continual learning is to the loop, the stream and the evaluation."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from fewshot.models.embedder import Embedder
from fewshot.sampling.feed import Batch

TaskImages = Callable[[], Iterable[tuple[Tensor, Tensor]]]
"""Makes one pass, always in the same order, over a task's training images as they are, not augmented:
(uint8, or float in [0, 1], [n, channels, height, width]; labels int64 [n]) in blocks."""


class Method(nn.Module):
    """An objective that meets its classes task by task.

    Labels are places in the stream's order of classes, 0 .. classes - 1. Whatever is kept a class, a head or
    prototypes say, has `classes` rows from the start, so no shape in `state_dict` ever changes. What is
    written between steps alone (snapshots, memories, Fisher information) is kept in parameters without
    gradient: the step guard copies every buffer before every step.

    `begin_task` comes before a task's first step and `end_task` after its last; prediction is possible at any
    time: task-incremental is the best score among the classes of the image's task, class-incremental that
    among `candidates()`.

    Args:
        embedder: images to embeddings.
        classes: of the whole stream.

    Attributes:
        views: augmented views of each image of a batch; two are images [2n, ...], all the first ones and then
            all the second ones, with labels [2n].
        cumulative: whether a task's batches come from all tasks so far, not from its own images alone.
        task: number of the task that was begun last, from 0; -1 before the first.
        seen: bool [classes], of this task or one before.
        current: bool [classes], of this task.
        old: bool [classes], of tasks before this one (this one's too where classes return, as with domains).
        task_of: int64 [classes], the first task of a class; -1 of one not seen.
    """

    cumulative: ClassVar[bool] = False
    embedder: Embedder
    seen: Tensor
    current: Tensor
    old: Tensor
    task_of: Tensor

    def __init__(self, embedder: Embedder, classes: int) -> None:
        super().__init__()
        self.embedder = embedder
        self.classes = classes
        self.views = 1
        self.task = -1
        for name in ("seen", "current", "old"):
            self.register_buffer(name, torch.zeros(classes, dtype=torch.bool))
        self.register_buffer("task_of", torch.full((classes,), -1))

    def forward(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss (0-d) and what to log (0-d each).

        Args:
            batch: of the current task, `views` augmented views of its images.
            generator: on the batch's device, of this step's draws.
        """
        raise NotImplementedError

    def begin_task(self, classes: Tensor) -> None:
        """Mark classes int64 [k] as the current task's; methods take their snapshots here.

        Raises:
            ValueError: there is none, or one outside [0, classes) or twice.
        """
        numbers = classes.tolist()
        distinct = set(numbers)
        if not numbers or len(distinct) < len(numbers) or not distinct <= set(range(self.classes)):
            raise ValueError(f"a task needs distinct classes in [0, {self.classes}), got {numbers}")
        classes = classes.to(self.seen.device)
        self.task += 1
        self.old.copy_(self.seen)
        self.current.zero_()
        self.current[classes] = True
        self.seen |= self.current
        self.task_of.copy_(torch.where(self.current & ~self.old, self.task, self.task_of))

    def end_task(self, images: TaskImages) -> None:
        """Learn what a method keeps of a task: nothing here. Not to be called in inference mode."""

    def scores(self, images: Tensor) -> Tensor:
        """Scores [n, classes] of images [n, channels, height, width] in evaluation mode; higher is better.

        A class of which nothing is known yet may have -inf.
        """
        with torch.no_grad(), evaluation_mode(self):
            return self._scores(images)

    def candidates(self) -> Tensor:
        """bool [classes]: among which classes class-incremental prediction chooses: those seen."""
        return self.seen

    def _scores(self, images: Tensor) -> Tensor:
        raise NotImplementedError

    def get_extra_state(self) -> dict[str, Any]:
        return {"task": self.task}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.task = int(state["task"])


@contextlib.contextmanager
def evaluation_mode(module: nn.Module) -> Iterator[None]:
    """The module in evaluation mode while the block runs, then as it was."""
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)
