"""Networks and tasks as small as the tests of the methods need."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import Tensor, nn

from fewshot.continual.method import Method
from fewshot.models.conv4 import Conv4
from fewshot.models.embedder import Embedder
from fewshot.models.heads import NoHead, ProjectorHead
from fewshot.sampling.feed import Batch
from fewshot.training.parameter_groups import parameter_groups

CLASSES = 6
TASKS = ([0, 1], [2, 3], [4, 5])
SIZE = 16


def embedder(projector: bool = False) -> Embedder:
    torch.manual_seed(0)
    head = partial(ProjectorHead, widths=(16, 8)) if projector else NoHead
    return Embedder(
        Conv4(1, width=8, depth=3, pool="average"), head, mean=[0.5], std=[0.3], size=SIZE, channels=1
    )


def pictures(classes: list[int], each: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """uint8 images and labels, class after class: a pattern of the class under noise."""
    patterns = torch.rand(CLASSES, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(7))
    draw = torch.Generator().manual_seed(seed)
    labels = torch.tensor(classes).repeat_interleave(each)
    noisy = patterns[labels] + 0.1 * torch.randn(len(labels), 1, SIZE, SIZE, generator=draw)
    return (255 * noisy.clamp(0, 1)).byte(), labels


def batch(classes: list[int], views: int = 1, each: int = 4, seed: int = 0) -> Batch:
    images, labels = pictures(classes, each, seed)
    draw = torch.Generator().manual_seed(seed + 1)
    images = images.repeat(views, 1, 1, 1).float() / 255
    noisy = images + 0.05 * torch.rand(images.shape, generator=draw)
    return Batch(noisy.clamp(0, 1), labels.repeat(views))


def passes(
    classes: list[int], each: int = 10, block: int = 7
) -> Callable[[], Iterable[tuple[Tensor, Tensor]]]:
    """What `end_task` takes, in blocks that do not divide the images."""
    images, labels = pictures(classes, each)
    return lambda: zip(images.split(block), labels.split(block), strict=True)


def optimizer(method: nn.Module, lr: float = 0.02) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameter_groups(method, lr), lr=lr, momentum=0.9, weight_decay=1e-4)


def learn(method: Method, steps: int = 8, tasks: tuple[list[int], ...] = TASKS, lr: float = 0.02) -> None:
    """The tasks in turn, begun and ended, with one optimizer."""
    made = optimizer(method, lr)
    method.train()
    for number, classes in enumerate(tasks):
        method.begin_task(torch.tensor(classes))
        for step in range(steps):
            known = [c for task in tasks[: number + 1] for c in task] if method.cumulative else classes
            train_step(method, made, known, 100 * number + step)
        method.end_task(passes(classes))


def train_step(method: Method, made: torch.optim.Optimizer, classes: list[int], step: int) -> Tensor:
    draw = torch.Generator().manual_seed(step)
    loss, _ = method(batch(classes, method.views, seed=step), draw)
    made.zero_grad(set_to_none=True)
    loss.backward()
    made.step()
    return loss.detach()


def accuracy(method: Method, classes: list[int], candidates: Tensor) -> float:
    """Share of fresh images of `classes` whose best score among the candidates, bool [classes], is right."""
    images, labels = pictures(classes, 10, seed=99)
    scores = method.scores(images).masked_fill(~candidates, -torch.inf)
    return float((scores.argmax(1) == labels).float().mean())


def only(classes: list[int]) -> Tensor:
    return torch.zeros(CLASSES, dtype=torch.bool).index_fill(0, torch.tensor(classes), True)
