"""The stream in the loop: which batch and which task comes when, what is measured, and exact resume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fewshot.continual.evaluation import evaluate
from fewshot.continual.linear_probe import linear_probe
from fewshot.continual.method import Method, TaskImages
from fewshot.continual.scenario import Scenario, class_incremental
from fewshot.continual.stream import StreamFeed
from fewshot.continual.task_schedule import TaskSchedule, check_over
from fewshot.data.image_folds import TEST, image_folds
from fewshot.data.image_set import ImageSet
from fewshot.errors import InputError
from fewshot.sampling.feed import AdaptiveFeed, Batch
from fewshot.sampling.shuffled import ShuffledBatches
from fewshot.training import checkpoint
from fewshot.training.device import set_up
from fewshot.training.loop import LoopOptions, train
from fewshot.training.schedule import Schedule

CLASSES, EACH = 6, 10


def image_set() -> ImageSet:
    """A class is a brightness, so that it can be learned."""
    labels = torch.arange(CLASSES).repeat(EACH)
    noise = torch.randint(0, 20, (len(labels), 1, 4, 4), generator=torch.Generator().manual_seed(0))
    images = (40 * labels.view(-1, 1, 1, 1) + noise).to(torch.uint8)
    return ImageSet(images, labels, tuple(f"class {i}" for i in range(CLASSES)))


SET = image_set()
SCENARIO = class_incremental(SET, image_folds(SET, None, test_share=0.3, validation_share=0.0), TEST, tasks=3)
STEPS = [4, 3, 5]


class Means(Method):
    """A linear embedder and the mean image of each class, which `end_task` computes; it notes its calls."""

    def __init__(self, views: int = 1, random: bool = False) -> None:
        torch.manual_seed(0)
        embedder: Any = nn.Sequential(nn.Flatten(), nn.Linear(16, 3), nn.BatchNorm1d(3))
        super().__init__(embedder, CLASSES)
        self.views = views
        self.random = random
        self.calls: list[str] = []
        self.means = nn.Parameter(torch.full((CLASSES, 16), torch.nan), requires_grad=False)

    def forward(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        self.calls.append("step")
        noise = torch.randn(batch.images.shape, generator=generator)
        return self.embedder(batch.images + 0.1 * noise).square().mean() + 0 * batch.labels.sum(), {}

    def begin_task(self, classes: Tensor) -> None:
        super().begin_task(classes)
        self.calls.append(f"begin {classes.tolist()}")
        if self.random:  # draws from torch's own generator, as initialising a layer does
            with torch.no_grad():
                nn.init.normal_(self.embedder[1].bias)

    def end_task(self, images: TaskImages) -> None:
        self.calls.append("end")
        pixels, labels = map(torch.cat, zip(*images(), strict=True))
        for place in labels.unique():
            self.means.data[place] = pixels[labels == place].float().flatten(1).mean(0) / 255

    def _scores(self, images: Tensor) -> Tensor:
        pixels = images.float().flatten(1) / 255
        distances = torch.cdist(pixels, self.means.nan_to_num(1e9))
        return torch.where(self.means.isnan().any(1), -torch.inf, -distances)


def feed(method: Method, scenario: Scenario = SCENARIO) -> StreamFeed:
    samplers = [
        ShuffledBatches(scenario.training_table([task]), 5, 0, f"task {task}") for task in range(len(STEPS))
    ]
    return StreamFeed(scenario, SET, method, samplers, STEPS, brighten, torch.device("cpu"), seed=0)


def brighten(images: Tensor, generator: torch.Generator) -> Tensor:
    return images.float() / 255 + torch.rand(len(images), 1, 1, 1, generator=generator)


def run(folder: Path, *, resume: bool = False, steps: int = sum(STEPS), random: bool = True) -> StreamFeed:
    """Train; fewer steps than all leave a run that was cut there."""
    folder.mkdir(exist_ok=True)
    method = Means(random=random)
    made = feed(method)
    optimizer = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.1, momentum=0.9)
    train(
        method,
        made,
        optimizer,
        schedule(optimizer),
        set_up("cpu", "float32", None),
        LoopOptions(steps=steps, seed=0, save_every=1, log_every=5),
        validate=lambda _: {},
        monitor="",
        tracker=Silent(),
        folder=folder,
        card=lambda _: {},
        state=checkpoint.load_last(folder) if resume else None,
    )
    return made


class Silent:
    def scalars(self, values: Any, step: int) -> None:
        pass


def schedule(optimizer: torch.optim.Optimizer, over: Any = "task") -> TaskSchedule:
    return TaskSchedule(
        optimizer,
        lambda steps, per_epoch: Schedule(
            optimizer,
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps),
            "step",
            0,
            per_epoch,
        ),
        lambda: Schedule(optimizer, None, "step", 0, 1),
        STEPS,
        [2, 2, 2],
        over,
    )


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a.nan_to_num(-1), b.nan_to_num(-1))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a if k != "seconds")
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def test_batches_come_from_the_step_s_task_alone() -> None:
    made = feed(Means())
    assert isinstance(made, AdaptiveFeed)
    for step, task in enumerate([0] * 4 + [1] * 3 + [2] * 5):
        assert set(made(step).labels.tolist()) <= set(SCENARIO.tasks[task].classes.tolist())
    within = [made.task_of(step) for step in (0, 3, 4, 6, 7, 11)]
    assert within == [(0, 0), (0, 3), (1, 0), (1, 2), (2, 0), (2, 4)]


def test_two_views_are_one_batch_with_draws_of_their_own() -> None:
    one, two = feed(Means())(2), feed(Means(views=2))(2)
    assert two.images.shape == (10, 1, 4, 4) and torch.equal(two.labels, one.labels.repeat(2))
    assert two.largest_class == 2 * one.largest_class == two.labels.bincount().max()
    first, second = two.images.chunk(2)
    assert not torch.equal(first, second)
    shift = (first - second).flatten(1)
    assert torch.allclose(shift, shift[:, :1].expand_as(shift), atol=1e-6), "not the same images"
    assert torch.equal(feed(Means(views=2))(2).images, two.images)


def test_tasks_begin_and_end_around_their_steps(tmp_path: Path) -> None:
    made = run(tmp_path / "run")
    made.finish()
    expected = []
    for task, steps in enumerate(STEPS):
        expected += [f"begin {[2 * task, 2 * task + 1]}", *["step"] * steps, "end"]
    assert made.method.calls == expected  # type: ignore[attr-defined]


def test_seen_tasks_are_measured_after_each_task(tmp_path: Path) -> None:
    made = run(tmp_path / "run")
    learned: list[int] = []
    made.learned = learned.append
    made.finish()
    assert learned == [2]
    til, cil = (matrix.accuracy for matrix in made.matrices().values())
    # Brightness tells the classes apart, so the means of the images do.
    assert (til[np.tri(3, dtype=bool)] == 1).all() and (cil[np.tri(3, dtype=bool)] == 1).all()
    # Nothing is known of a class before its task: forward transfer is not defined.
    assert (
        np.isnan(til[0, 1]) and np.isnan(made.untrained).all() and np.isnan(cil[~np.tri(3, dtype=bool)]).all()
    )


@pytest.mark.parametrize("cut", [2, 4, 5, 7, 11, 12])
def test_a_run_cut_anywhere_and_resumed_equals_the_straight_one(tmp_path: Path, cut: int) -> None:
    """4 and 7 lie between tasks: the state saved there is that before the task ends."""
    straight = run(tmp_path / "straight")
    run(tmp_path / "cut", steps=cut)
    resumed = run(tmp_path / "cut", resume=True)
    for made in (straight, resumed):
        made.finish()
    assert same(straight.method.state_dict(), resumed.method.state_dict())
    for one, other in zip(straight.matrices().values(), resumed.matrices().values(), strict=True):
        assert np.array_equal(one.accuracy, other.accuracy, equal_nan=True)
    assert np.array_equal(straight.untrained, resumed.untrained, equal_nan=True)
    a, b = (checkpoint.load(tmp_path / name / "last.pt") for name in ("straight", "cut"))
    assert same(
        {k: a[k] for k in ("objective", "optimizer", "feed", "schedule")},
        {k: b[k] for k in ("objective", "optimizer", "feed", "schedule")},
    )


def test_the_rate_begins_anew_with_a_task() -> None:
    for over, second in (("task", [0.1, 0.075, 0.025]), ("first_task", [0.1, 0.1, 0.1])):
        optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1)
        made = schedule(optimizer, over)
        rates = []
        for step in range(sum(STEPS)):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            made.finished(step + 1)
        first = [0.1 * (1 + np.cos(np.pi * step / 4)) / 2 for step in range(4)]
        assert rates[:4] == pytest.approx(first) and rates[4:7] == pytest.approx(second)
        assert rates[7] == pytest.approx(0.1)
    with pytest.raises(InputError, match=r"scenario\.schedule=never must be task, first_task or stream"):
        check_over("never")


class Table(Means):
    """Scores from a table, by the first pixel of an image."""

    def __init__(self, scores: Tensor) -> None:
        super().__init__()
        self.table = scores

    def _scores(self, images: Tensor) -> Tensor:
        return self.table[(images[:, 0, 0, 0] // 40).long()]


def test_task_and_class_incremental_predictions_come_from_the_same_scores() -> None:
    scores = torch.zeros(CLASSES, CLASSES)
    scores[torch.arange(CLASSES), torch.arange(CLASSES)] = 1.0
    scores[0, 3] = 2.0  # class 0 is taken for one of task 1
    scores[1, 5] = 2.0  # class 1 for one of task 2, which is not seen yet
    method = Table(scores)
    method.begin_task(torch.tensor([0, 1]))
    method.begin_task(torch.tensor([2, 3]))
    found = evaluate(method, SCENARIO, SET, range(2), device=torch.device("cpu"), batch=4)
    assert found.task_incremental.tolist()[:2] == [1.0, 1.0]
    assert found.class_incremental.tolist()[:2] == [0.5, 1.0]
    assert np.isnan(found.task_incremental[2]) and np.isnan(found.class_incremental[2])
    # A task not yet seen: defined task-incrementally where the method knows its classes, 0 among those seen.
    coming = evaluate(method, SCENARIO, SET, [2], device=torch.device("cpu"))
    assert (coming.task_incremental[2], coming.class_incremental[2]) == (1.0, 0.0)
    assert method.training


def test_a_class_that_is_no_candidate_is_never_the_guess() -> None:
    """Every candidate has -inf, and of equal scores the first class counts: class 0, which is none."""
    scores = torch.eye(CLASSES)
    scores[:, [2, 3]] = -torch.inf
    method = Table(scores)
    method.begin_task(torch.tensor([2, 3]))
    found = evaluate(method, SCENARIO, SET, [0], device=torch.device("cpu"))
    assert (found.task_incremental[0], found.class_incremental[0]) == (1.0, 0.0)


def test_the_coming_task_is_measured_task_incrementally_where_its_classes_are_known() -> None:
    made = feed(Table(torch.eye(CLASSES)))
    for step in (0, 4, 7):
        made.refresh(made.method.embedder, step)
    til, cil = (matrix.accuracy for matrix in made.matrices().values())
    assert til[0, 1] == til[1, 2] == 1.0 and np.isnan(til[0, 2])
    assert np.isnan(cil[0, 1]) and np.isnan(cil[1, 2])
    assert np.isnan(made.untrained[0]) and made.untrained[1:].tolist() == [1.0, 1.0]


def test_scores_that_are_nan_are_one_clear_line() -> None:
    method = Table(torch.full((CLASSES, CLASSES), torch.nan))
    method.begin_task(torch.tensor([0, 1]))
    with pytest.raises(InputError, match="task 1 cannot be evaluated, a score is nan"):
        evaluate(method, SCENARIO, SET, [0], device=torch.device("cpu"))


def test_a_linear_probe_finds_what_the_features_know() -> None:
    pixels = SET.images.flatten(1).float().numpy()
    assert (linear_probe(lambda images: pixels[images], SCENARIO) == 1).all()
    noise = np.random.default_rng(0).normal(size=(len(SET), 3)).astype(np.float32)
    assert linear_probe(lambda images: noise[images], SCENARIO).mean() < 0.9
    alone = class_incremental(
        SET, image_folds(SET, None, test_share=0.3, validation_share=0.0), TEST, tasks=6
    )
    assert (linear_probe(lambda images: noise[images], alone) == 1).all()
