"""Training with what changes on the way: a backbone that joins later, frozen BatchNorm, hard classes."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fewshot.data.augmentation import Augmentation, RandomCrop
from fewshot.data.image_set import ImageSet
from fewshot.errors import InputError
from fewshot.losses.cross_entropy import CrossEntropy
from fewshot.models.conv4 import Conv4
from fewshot.models.embedder import Embedder
from fewshot.models.heads import LinearHead, NoHead
from fewshot.objectives.plain import Plain
from fewshot.sampling.class_table import ClassTable
from fewshot.sampling.classes_by_images import ClassesByImages
from fewshot.sampling.feed import Batch, Feed, feed_for
from fewshot.sampling.hard_classes import HardClasses
from fewshot.training import checkpoint
from fewshot.training.device import set_up
from fewshot.training.loop import LoopOptions, train
from fewshot.training.parameter_groups import parameter_groups
from fewshot.training.schedule import Schedule
from fewshot.training.stopping import Stopped

CLASSES = 12
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "AdamW": {"lr": 0.01, "weight_decay": 0.1},
    "SGD": {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
}


def objective(head: bool = True) -> Plain:
    torch.manual_seed(0)
    embedder = Embedder(
        Conv4(1, width=4, depth=2),
        (lambda features: LinearHead(features, 6)) if head else NoHead,
        mean=[0.5],
        std=[0.2],
        size=8,
        channels=1,
    )
    loss = CrossEntropy(CLASSES, embedder.dim)
    loss.lr_scale = 10.0  # type: ignore[assignment]
    return Plain(embedder, loss)


def feed(hard: bool = False) -> Feed:
    """9 steps an epoch."""
    labels = torch.arange(CLASSES).repeat_interleave(6)
    draw = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (len(labels), 1, 8, 8), dtype=torch.uint8, generator=draw)
    image_set = ImageSet(pixels, labels, tuple(f"class {i}" for i in range(CLASSES)))
    table = ClassTable.of(image_set, image_set.class_names)
    sampler = HardClasses(table, 4, 2, group=2) if hard else ClassesByImages(table, 4, 2)
    shift = Augmentation(shift=RandomCrop(padding=0.25, border="zero"))
    return feed_for(image_set, sampler, shift, torch.device("cpu"))


class Watched:
    """A feed that calls `before(step)` at each step; resume is the business of the one within."""

    def __init__(self, within: Feed, before: Any) -> None:
        self.within, self.before = within, before
        self.steps_per_epoch = within.steps_per_epoch

    def __call__(self, step: int) -> Batch:
        self.before(step)
        return self.within(step)


class Silence:
    def scalars(self, values: Mapping[str, float], step: int) -> None:
        pass


class StopAt:
    """Sends this process SIGTERM when called for the n-th time; 0 for never."""

    def __init__(self, call: int) -> None:
        self.left = call

    def __call__(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGTERM)


def same(a: Any, b: Any) -> bool:
    """Equal to the last bit, whatever is nested in what; times may differ."""
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a if k != "seconds")
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def run(
    folder: Path,
    made: Plain,
    source: Feed,
    *,
    optimizer: str = "AdamW",
    fused: bool = False,
    resume: bool = False,
    stop_at: int | None = None,
    **options: Any,
) -> torch.optim.Optimizer:
    """Train 30 steps, validating every 5; `stop_at` counts validations."""
    folder.mkdir(exist_ok=True)
    settings = OPTIMIZERS[optimizer]
    kind = getattr(torch.optim, optimizer)
    stepping: torch.optim.Optimizer = kind(parameter_groups(made, settings["lr"]), **settings, fused=fused)
    stop = StopAt(stop_at or 0)

    def validate(embedder: Embedder) -> Mapping[str, float]:
        stop()
        return {"accuracy": float(embedder.embed(torch.ones(1, 1, 8, 8)).sum().detach())}

    train(
        made,
        source,
        stepping,
        Schedule(stepping, torch.optim.lr_scheduler.CosineAnnealingLR(stepping, 30), "step", 3, 9),
        set_up("cpu", "float32", None),
        LoopOptions(**{"steps": 30, "seed": 0, "validate_every": 5, **options}),
        validate=validate,
        monitor="accuracy",
        tracker=Silence(),
        folder=folder,
        card=lambda _: {},
        state=checkpoint.load_last(folder) if resume else None,
    )
    return stepping


def last(folder: Path) -> dict[str, Any]:
    return checkpoint.load(folder / "last.pt")


@pytest.mark.parametrize("optimizer,fused", [("AdamW", False), ("SGD", True)])
@pytest.mark.parametrize("stop_at", [1, 2, 3])
def test_a_run_cut_around_the_warm_up_equals_the_straight_one(
    tmp_path: Path, optimizer: str, fused: bool, stop_at: int
) -> None:
    """Cut at 5, 10 and 15 steps: within the warm-up of the head, at its end, and after it."""
    how = {"optimizer": optimizer, "fused": fused, "head_only": 10, "ema": 0.9}
    run(tmp_path / "straight", objective(), feed(), **how)
    with pytest.raises(Stopped):
        run(tmp_path / "cut", objective(), feed(), stop_at=stop_at, **how)
    assert last(tmp_path / "cut")["outcome"]["steps"] == 5 * stop_at
    run(tmp_path / "cut", objective(), feed(), resume=True, **how)
    for name in ("last.pt", "best.pt"):
        assert same(checkpoint.load(tmp_path / "straight" / name), checkpoint.load(tmp_path / "cut" / name))


@pytest.mark.parametrize("stop_at,freeze", [(1, False), (2, True), (4, False)])
def test_a_cut_run_with_hard_classes_equals_the_straight_one(
    tmp_path: Path, freeze: bool, stop_at: int
) -> None:
    """Looks are due before steps 9, 18 and 27; the saved states are those after 5, 10 and 20 steps."""
    how = {"freeze_batchnorm": freeze}
    run(tmp_path / "straight", objective(), feed(hard=True), **how)
    with pytest.raises(Stopped):
        run(tmp_path / "cut", objective(), feed(hard=True), stop_at=stop_at, **how)
    assert (last(tmp_path / "cut")["feed"]["neighbours"] is None) == (stop_at == 1)
    run(tmp_path / "cut", objective(), feed(hard=True), resume=True, **how)
    assert same(last(tmp_path / "straight"), last(tmp_path / "cut"))
    assert last(tmp_path / "straight")["feed"]["neighbours"].shape == (CLASSES, 3)


def test_a_run_cut_where_a_look_is_due_takes_it_once_resumed(tmp_path: Path) -> None:
    how = {"validate_every": 9}
    run(tmp_path / "straight", objective(), feed(hard=True), **how)
    with pytest.raises(Stopped):
        run(tmp_path / "cut", objective(), feed(hard=True), stop_at=1, **how)
    assert last(tmp_path / "cut")["outcome"]["steps"] == 9
    assert last(tmp_path / "cut")["feed"] == {"neighbours": None}
    run(tmp_path / "cut", objective(), feed(hard=True), resume=True, **how)
    assert same(last(tmp_path / "straight"), last(tmp_path / "cut"))


def test_hard_classes_change_what_is_trained_only_after_the_first_look(tmp_path: Path) -> None:
    """Or the tests above would not notice that the neighbours are used."""
    for steps, equal in ((9, True), (12, False)):
        for hard in (False, True):
            run(tmp_path / str(hard), objective(), feed(hard), steps=steps)
        weights = [last(tmp_path / str(hard))["objective"] for hard in (False, True)]
        assert same(*weights) == equal


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("fused", [False, True])
def test_the_backbone_rests_and_then_begins_as_if_new(tmp_path: Path, optimizer: str, fused: bool) -> None:
    made = objective()
    fresh = [p.detach().clone() for p in made.embedder.backbone.parameters()]
    seen: list[bool] = []

    def before(step: int) -> None:
        now = list(made.embedder.backbone.parameters())
        assert all(p.requires_grad == (step >= 10) for p in now)
        seen.append(all(torch.equal(a, b) for a, b in zip(now, fresh, strict=True)))

    stepping = run(
        tmp_path / "run",
        made,
        Watched(feed(), before),
        optimizer=optimizer,
        fused=fused,
        head_only=10,
        steps=14,
        clip_norm=5.0,
        clip_value=1.0,
    )
    assert seen == [True] * 11 + [False] * 3
    head, fresh_head = (list(one.embedder.head.parameters()) for one in (made, objective()))
    assert not any(torch.equal(a, b) for a, b in zip(head, fresh_head, strict=True))
    if optimizer == "AdamW":
        counts = {int(stepping.state[p]["step"]) for p in made.embedder.backbone.parameters()}
        assert counts == {4} and int(stepping.state[made.loss.weight]["step"]) == 14  # type: ignore[index]


def test_the_fused_warm_up_is_the_plain_one(tmp_path: Path) -> None:
    for optimizer in OPTIMIZERS:
        models = []
        for fused in (False, True):
            made = objective()
            run(tmp_path / "run", made, feed(), optimizer=optimizer, fused=fused, head_only=4, steps=12)
            models.append(made)
        for a, b in zip(*(model.parameters() for model in models), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_a_warm_up_of_nothing_is_refused(tmp_path: Path) -> None:
    made = objective(head=False)
    run(tmp_path / "run", made, feed(), head_only=2, steps=3)
    for parameter in made.loss.parameters():
        parameter.requires_grad_(False)
    with pytest.raises(
        InputError, match="head_only=2, but nothing besides the backbone is trained"
    ) as caught:
        run(tmp_path / "run", made, feed(), head_only=2, steps=3)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"training\.head_only=-1 must be at least 0"):
        LoopOptions(steps=1, seed=0, head_only=-1)


def test_frozen_batchnorm_trains_its_weights_and_keeps_its_statistics(tmp_path: Path) -> None:
    made = objective()
    norm = next(m for m in made.embedder.modules() if isinstance(m, nn.BatchNorm2d))
    with torch.no_grad():
        norm.running_mean.fill_(0.3)  # type: ignore[union-attr]
    weight = norm.weight.detach().clone()
    run(tmp_path / "run", made, feed(), freeze_batchnorm=True, steps=12)
    assert torch.equal(norm.running_mean, torch.full_like(norm.running_mean, 0.3))  # type: ignore[arg-type]
    assert int(norm.num_batches_tracked) == 0 and not torch.equal(norm.weight, weight)  # type: ignore[arg-type]


@pytest.mark.parametrize("head_only", [0, 3])
def test_compiled_training_follows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head_only: int) -> None:
    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda module: compile_(module, backend="eager"))
    models = []
    for compiled in (False, True):
        made = objective()
        options = {"head_only": head_only, "freeze_batchnorm": True, "compile": compiled, "steps": 6}
        run(tmp_path / "run", made, feed(), **options)
        models.append(made)
    for a, b in zip(*(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
    start = objective().embedder.backbone.parameters()
    moved = [
        not torch.equal(a, b) for a, b in zip(start, models[1].embedder.backbone.parameters(), strict=True)
    ]
    assert all(moved)


def test_the_feed_without_a_state_is_saved_as_none(tmp_path: Path) -> None:
    run(tmp_path / "run", objective(), feed(), steps=2)
    assert last(tmp_path / "run")["feed"] is None
    assert np.isfinite(last(tmp_path / "run")["outcome"]["best"])
