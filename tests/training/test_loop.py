from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fewshot.errors import InputError
from fewshot.sampling.feed import Batch
from fewshot.training import checkpoint
from fewshot.training.device import set_up
from fewshot.training.loop import LoopOptions, Outcome, train
from fewshot.training.schedule import Schedule
from fewshot.training.stopping import Stopped


class Toy(nn.Module):
    """A small network with BatchNorm and dropout on random numbers; `bad` steps have a NaN loss."""

    def __init__(self, bad: frozenset[int] = frozenset()) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedder = nn.Sequential(
            nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3)
        )
        self.bad = bad

    def forward(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        bad = bool(torch.isfinite(batch.images[0, 0])) and int(batch.images[0, 0] * 1000) in self.bad
        noise = 0.1 * torch.randn(batch.images.shape, generator=generator)
        loss = nn.functional.cross_entropy(self.embedder(batch.images + noise), batch.labels)
        if bad:
            loss = loss * float("nan")
        return loss, {"twice": 2 * loss.detach()}


class Numbers:
    """A feed of random numbers; the step can be read from the first."""

    steps_per_epoch = 10

    def __call__(self, step: int) -> Batch:
        made = torch.Generator().manual_seed(step)
        images = torch.randn(12, 6, generator=made)
        images[0, 0] = (step + 0.5) / 1000
        return Batch(images, torch.randint(3, (12,), generator=made))


class Lines:
    def __init__(self) -> None:
        self.lines: list[tuple[int, dict[str, float]]] = []

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        self.lines.append((step, {k: v for k, v in values.items() if k != "seconds"}))


def run(
    folder: Path,
    *,
    objective: Toy | None = None,
    resume: bool = False,
    scheduler: str = "cosine",
    hook: Any = None,
    **options: Any,
) -> tuple[Outcome, Lines]:
    """Train the toy for 40 steps."""
    folder.mkdir(exist_ok=True)
    objective = objective or Toy()
    optimizer = torch.optim.Adam(objective.parameters(), lr=0.01)
    made = {
        "cosine": lambda: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=40),
        "step": lambda: torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5),
        "none": lambda: None,
    }[scheduler]()
    schedule = Schedule(
        optimizer, made, "epoch" if scheduler == "step" else "step", warmup=5, steps_per_epoch=10
    )
    lines = Lines()
    settings = {"steps": 40, "seed": 0, "log_every": 7, "validate_every": 10, "save_every": 4, **options}

    def validate(embedder: nn.Module) -> dict[str, float]:
        if hook is not None:
            hook()
        assert not embedder.training
        return {"accuracy": embedder(torch.ones(1, 6)).sum().item()}

    outcome = train(
        objective,
        Numbers(),
        optimizer,
        schedule,
        set_up("cpu", "float32", None),
        LoopOptions(**settings),
        validate=validate,
        monitor="accuracy",
        tracker=lines,
        folder=folder,
        card=lambda _: {},
        state=checkpoint.load_last(folder) if resume else None,
    )
    return outcome, lines


def same(a: Any, b: Any) -> bool:
    """Equal to the last bit, whatever is nested in what."""
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a if k != "seconds")
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


@pytest.mark.parametrize("scheduler", ["cosine", "step", "none"])
@pytest.mark.parametrize("ema", [None, 0.9])
def test_a_stopped_and_resumed_run_equals_the_straight_one(
    tmp_path: Path, scheduler: str, ema: float | None
) -> None:
    straight, lines = run(tmp_path / "straight", scheduler=scheduler, ema=ema)
    with pytest.raises(Stopped, match="stopped after step 20 of 40; go on with resume=") as caught:
        run(tmp_path / "cut", scheduler=scheduler, ema=ema, hook=StopAt(2))
    assert caught.value.signal == signal.SIGTERM
    resumed, rest = run(tmp_path / "cut", scheduler=scheduler, ema=ema, resume=True)
    for name in ("last.pt", "best.pt"):
        assert same(checkpoint.load(tmp_path / "straight" / name), checkpoint.load(tmp_path / "cut" / name))
    assert {**vars(straight), "seconds": 0} == {**vars(resumed), "seconds": 0}
    # The line of step 21 sums steps on both sides of the cut.
    assert rest.lines == [line for line in lines.lines if line[0] > 20]


@pytest.mark.parametrize(
    "change", [{"optimizer": 3}, {"outcome": {"x": 1}}, {"objective": {}}, {"guard": None}]
)
def test_another_state_is_no_crash(tmp_path: Path, change: dict[str, Any]) -> None:
    run(tmp_path / "a", steps=2)
    path = tmp_path / "a" / "last.pt"
    checkpoint.save(path, {**checkpoint.load(path), **change})
    with pytest.raises(InputError, match="is not the state of this training") as caught:
        run(tmp_path / "a", steps=4, resume=True)
    assert "\n" not in str(caught.value)


class StopAt:
    """Sends this process SIGTERM when called for the n-th time."""

    def __init__(self, call: int) -> None:
        self.left = call

    def __call__(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGTERM)


def test_the_toy_depends_on_torchs_generator_and_ours(tmp_path: Path) -> None:
    """Or the test above would not notice that they are seeded."""
    run(tmp_path / "a")
    run(tmp_path / "b", seed=1)
    a, b = (checkpoint.load(tmp_path / name / "last.pt") for name in "ab")
    assert not same(a["objective"], b["objective"])


def test_handlers_are_put_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    run(tmp_path / "a", steps=3)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_nan_step_is_skipped_and_counted(tmp_path: Path) -> None:
    outcome, _ = run(tmp_path / "nan", objective=Toy(frozenset({5, 6, 20})))
    assert outcome.skipped == 3
    saved = checkpoint.load(tmp_path / "nan" / "last.pt")
    assert all(torch.isfinite(v).all() for v in saved["objective"].values() if v.is_floating_point())
    assert outcome.steps == 40


def test_nan_in_a_row_aborts_with_the_last_good_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not finite in .* steps in a row") as caught:
        run(tmp_path / "nan", objective=Toy(frozenset(range(22, 40))), abort_after=6)
    assert "\n" not in str(caught.value)
    saved = checkpoint.load(tmp_path / "nan" / "last.pt")
    assert saved["outcome"]["steps"] <= 28
    assert all(torch.isfinite(v).all() for v in saved["objective"].values() if v.is_floating_point())


def test_a_nan_forward_leaves_no_trace_in_batchnorm(tmp_path: Path) -> None:
    class Poisoned(Toy):
        def forward(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
            if int(batch.images[0, 0] * 1000) == 3:
                batch = Batch(batch.images * float("inf"), batch.labels)
            return super().forward(batch, generator)

    outcome, _ = run(tmp_path / "inf", objective=Poisoned())
    assert outcome.skipped == 1
    saved = checkpoint.load(tmp_path / "inf" / "last.pt")
    assert torch.isfinite(saved["objective"]["embedder.1.running_mean"]).all()


def test_best_is_the_best_and_patience_ends_the_run(tmp_path: Path) -> None:
    scores = iter([0.5, 0.7, 0.6, 0.7, 0.1])
    objective = Toy()
    folder = tmp_path / "run"
    folder.mkdir()
    optimizer = torch.optim.SGD(objective.parameters(), lr=0.01)
    lines = Lines()
    outcome = train(
        objective,
        Numbers(),
        optimizer,
        Schedule(optimizer, None, "step", 0, 10),
        set_up("cpu", "float32", None),
        LoopOptions(steps=100, seed=0, validate_every=5, patience=2),
        validate=lambda _: {"accuracy": next(scores)},
        monitor="accuracy",
        tracker=lines,
        folder=folder,
        card=lambda _: {},
    )
    assert (outcome.best, outcome.best_step, outcome.steps, outcome.early) == (0.7, 10, 20, True)
    assert checkpoint.load(folder / "best.pt")["step"] == 10


def test_without_validation_the_last_weights_count(tmp_path: Path) -> None:
    outcome, _ = run(tmp_path / "run", validate_every=0)
    assert outcome.best is None
    best, last = (checkpoint.load(tmp_path / "run" / name) for name in ("best.pt", "last.pt"))
    assert same(best["embedder"], {k.removeprefix("embedder."): v for k, v in last["objective"].items()})


def test_ema_is_the_average_of_the_weights(tmp_path: Path) -> None:
    seen: list[Tensor] = []

    class Watched(Toy):
        def forward(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
            seen.append(self.embedder[0].weight.detach().clone())
            return super().forward(batch, generator)

    objective = Watched()
    run(tmp_path / "run", objective=objective, ema=0.5, steps=6, validate_every=0)
    seen.append(objective.embedder[0].weight.detach().clone())
    expected = seen[1]
    for weight in seen[2:]:
        expected = 0.5 * expected + 0.5 * weight
    assert torch.allclose(
        checkpoint.load(tmp_path / "run" / "best.pt")["embedder"]["0.weight"], expected, atol=1e-7
    )


def test_clipping_bounds_the_step(tmp_path: Path) -> None:
    for options in ({"clip_norm": 1e-3}, {"clip_value": 1e-4}):
        objective = Toy()
        optimizer = torch.optim.SGD(objective.parameters(), lr=1.0)
        before = [p.detach().clone() for p in objective.parameters()]
        train(
            objective,
            Numbers(),
            optimizer,
            Schedule(optimizer, None, "step", 0, 10),
            set_up("cpu", "float32", None),
            LoopOptions(steps=1, seed=0, **options),
            validate=lambda _: {},
            monitor="",
            tracker=Lines(),
            folder=tmp_path,
            card=lambda _: {},
        )
        moved = torch.cat(
            [(p.detach() - b).flatten() for p, b in zip(objective.parameters(), before, strict=True)]
        )
        assert moved.norm() <= 1.0001e-3 if "clip_norm" in options else moved.abs().max() <= 1.001e-4
        assert moved.abs().max() > 0


def test_schedule_warms_up_and_follows_torch() -> None:
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.4)
    schedule = Schedule(
        optimizer,
        torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20),
        "step",
        warmup=4,
        steps_per_epoch=5,
    )
    rates = []
    for step in range(20):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.finished(step + 1)
    cosine = [0.2 * (1 + torch.cos(torch.tensor(torch.pi * t / 20)).item()) for t in range(20)]
    assert rates == pytest.approx([c * min(1, (t + 1) / 4) for t, c in enumerate(cosine)], rel=1e-5)


def test_schedule_counts_epochs() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = Schedule(
        optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5), "epoch", 0, steps_per_epoch=3
    )
    rates = []
    for step in range(13):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.finished(step + 1)
    assert rates == [1.0] * 6 + [0.5] * 6 + [0.25]


def test_impossible_options_are_refused() -> None:
    for wrong in ({"steps": 0}, {"log_every": 0}, {"ema": 1.5}):
        with pytest.raises(InputError):
            LoopOptions(**{"steps": 1, "seed": 0, **wrong})
