"""The one training loop: any objective, any feed, exact resume."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from fewshot.errors import InputError
from fewshot.models.adaptation import merged_state
from fewshot.models.embedder import Embedder
from fewshot.progress import Progress
from fewshot.randomness import generator, stream_key
from fewshot.sampling.feed import AdaptiveFeed, Batch, Feed
from fewshot.training import checkpoint
from fewshot.training.device import Machine
from fewshot.training.guard import StepGuard
from fewshot.training.head_only import HeadOnly
from fewshot.training.log import Log, Scalars
from fewshot.training.stopping import Stopped, stop_request
from fewshot.training.window import Window


class Objective(Protocol):
    """What the loop trains: a module that owns embedder, head and loss."""

    embedder: Embedder

    def __call__(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]: ...


class LearningRates(Protocol):
    """What sets the optimizer's rates; a `Schedule` is one."""

    def finished(self, steps: int) -> None: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any], steps: int) -> None: ...


@dataclass(frozen=True)
class LoopOptions:
    """How long and how to train.

    Attributes:
        steps: of the optimizer, in all.
        seed: of the objective's random numbers.
        log_every: steps whose means make one line of the log; also how often the guard is read. On a CUDA
            device a line is written when the next one is made, or before a validation or a checkpoint.
        validate_every: steps between validations; 0 for none, in which case the last weights count.
        save_every: steps between checkpoints; a validation always saves.
        patience: stop after that many validations without a better one; None never stops early.
        clip_norm, clip_value: bounds of the gradient's norm and of its entries; None for no bound.
        ema: decay of an exponential moving average of the embedder, which is then what is validated
            and kept; None for no average.
        abort_after: non-finite steps in a row that end the run.
        head_only: first steps that train everything but the backbone; 0 for none.
        freeze_batchnorm: keep the embedder's BatchNorm layers in evaluation mode.
        compile: run the objective through torch.compile.
    """

    steps: int
    seed: int
    log_every: int = 20
    validate_every: int = 0
    save_every: int = 500
    patience: int | None = None
    clip_norm: float | None = None
    clip_value: float | None = None
    ema: float | None = None
    abort_after: int = 10
    head_only: int = 0
    freeze_batchnorm: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise InputError(f"steps={self.steps} must be at least 1")
        for name in ("log_every", "save_every", "abort_after"):
            if getattr(self, name) < 1:
                raise InputError(f"training.{name}={getattr(self, name)} must be at least 1")
        if self.head_only < 0:
            raise InputError(f"training.head_only={self.head_only} must be at least 0 (steps)")
        if self.validate_every < 0:
            raise InputError(f"validation.every={self.validate_every} must be at least 0 (no validation)")
        if self.patience is not None and self.patience < 1:
            raise InputError(f"validation.patience={self.patience} must be at least 1, or null")
        if self.patience is not None and not self.validate_every:
            raise InputError(f"validation.patience={self.patience} counts validations: set validation.every")
        for name in ("clip_norm", "clip_value"):
            bound = getattr(self, name)
            if bound is not None and not bound > 0:
                raise InputError(f"training.{name}={bound} must be above 0, or null")
        if self.ema is not None and not 0 < self.ema < 1:
            raise InputError(f"training.ema={self.ema} must lie between 0 and 1")


@dataclass
class Outcome:
    """How training ended.

    Attributes:
        steps: done in all.
        best: highest validation figure, None without validation.
        best_step: after which it was reached.
        skipped: steps that the guard skipped.
        seconds: of wall time, summed over resumed parts.
        early: whether patience ended the run.
    """

    steps: int = 0
    best: float | None = None
    best_step: int = 0
    since_best: int = 0
    skipped: int = 0
    seconds: float = 0.0
    early: bool = False


def train(
    objective: Objective,
    feed: Feed,
    optimizer: Optimizer,
    schedule: LearningRates,
    machine: Machine,
    options: LoopOptions,
    *,
    validate: Callable[[Embedder], Mapping[str, float]],
    monitor: str,
    tracker: Scalars,
    folder: Path,
    card: Callable[[Embedder], dict[str, Any]],
    state: dict[str, Any] | None = None,
) -> Outcome:
    """Train `objective` and leave `last.pt` (to resume) and `best.pt` (to use) in `folder`.

    Args:
        validate: figures of the embedder in evaluation mode, on validation data.
        monitor: which of those figures chooses the best weights; higher is better.
        card: what `best.pt` holds beside weights: all that is needed to build and use the embedder.
        state: of a `last.pt` to go on from; the result is the straight run's, bit for bit on CPU.

    Raises:
        InputError: too many non-finite steps in a row, or the disk is full.
        Stopped: SIGTERM or SIGINT came; the state is saved.
    """
    module = cast(nn.Module, objective)
    if options.freeze_batchnorm:
        objective.embedder.freeze_batchnorm()
    average = None
    if options.ema is not None:
        moving_average = get_ema_multi_avg_fn(options.ema)  # type: ignore[no-untyped-call]
        average = AveragedModel(objective.embedder, multi_avg_fn=moving_average, use_buffers=True)
    evaluated = objective.embedder if average is None else cast(Embedder, average.module)
    guard = StepGuard(module, options.abort_after, machine.device)
    head_only = HeadOnly(module, objective.embedder, options.head_only)
    adaptive = feed if isinstance(feed, AdaptiveFeed) else None
    outcome, window = Outcome(), Window()
    if state is not None:
        try:
            module.load_state_dict(state["objective"])
            optimizer.load_state_dict(state["optimizer"])
            schedule.load_state_dict(state["schedule"], state["outcome"]["steps"])
            guard.load_state_dict(state["guard"])
            if average is not None:
                average.load_state_dict(state["average"])
            if adaptive is not None:
                adaptive.load_state_dict(state["feed"])
            outcome, window = Outcome(**state["outcome"]), Window(**state["window"])
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as problem:
            said = (str(problem).splitlines() or [""])[0]
            raise InputError(f"what is to go on is not the state of this training: {said:.200}") from problem
    seconds_before, began = outcome.seconds, time.monotonic()
    processes = machine.processes
    together = processes.trained_together(module)
    forward = cast(Objective, torch.compile(together) if options.compile else together)

    log = Log(tracker, guard, late=machine.device.type == "cuda")

    def save_last() -> None:
        log.flush()
        outcome.skipped = guard.check(outcome.steps)
        outcome.seconds = seconds_before + time.monotonic() - began
        if not processes.first:
            return
        content = {
            "objective": module.state_dict(),
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
            "guard": guard.state_dict(),
            "average": None if average is None else average.state_dict(),
            "feed": None if adaptive is None else adaptive.state_dict(),
            "outcome": vars(outcome),
            "window": vars(window),
        }
        checkpoint.save(folder / "last.pt", content, keep_previous=True)

    def save_best() -> None:
        content = {**card(evaluated), "embedder": merged_state(evaluated), "step": outcome.steps}
        if processes.first:
            checkpoint.save(folder / "best.pt", content)

    module.train()
    with Progress("train", options.steps, "steps", done=outcome.steps) as progress, stop_request() as stop:
        while outcome.steps < options.steps and not outcome.early:
            step = outcome.steps
            head_only.before(step)
            if adaptive is not None:
                with machine.autocast():
                    adaptive.refresh(objective.embedder, step)
            # Layers that draw by themselves (dropout, DropBlock) take from torch's own generators.
            torch.manual_seed((stream_key(options.seed, f"layers {step}") >> 1) + processes.rank)
            batch = feed(step)
            guard.remember()
            with machine.autocast():
                loss, logs = forward(batch, generator(options.seed, "objective", step, machine.device))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            if options.clip_value is not None:
                nn.utils.clip_grad_value_(module.parameters(), options.clip_value)
            figures = processes.means({"loss": loss.detach(), **logs})
            norm = guard.step(optimizer, figures["loss"], options.clip_norm)
            if average is not None:
                average.update_parameters(objective.embedder)
            window.add({**figures, "gradient_norm": norm})
            outcome.steps += 1
            schedule.finished(outcome.steps)
            progress.advance()

            last = outcome.steps == options.steps
            logged = outcome.steps % options.log_every == 0 or last
            if logged:
                seconds = seconds_before + time.monotonic() - began
                known = {"train/lr": optimizer.param_groups[0]["lr"], "seconds": seconds}
                log.line(outcome.steps, window, known)
                progress.describe("  ".join(f"{k} {v:.4g}" for k, v in log.shown.items()))
            saved = False
            if options.validate_every and (outcome.steps % options.validate_every == 0 or last):
                log.flush()
                evaluated.eval()
                processes.same_buffers(evaluated)
                measured = dict(validate(evaluated))
                module.train()
                tracker.scalars({f"val/{k}": v for k, v in measured.items()}, outcome.steps)
                outcome.since_best += 1
                if outcome.best is None or measured[monitor] > outcome.best:
                    outcome.best, outcome.best_step, outcome.since_best = measured[monitor], outcome.steps, 0
                    save_best()
                progress.announce(
                    f"step {outcome.steps}: validation "
                    + "  ".join(f"{k} {v:.4f}" for k, v in measured.items())
                    + (" (best so far)" if outcome.since_best == 0 else "")
                )
                outcome.early = options.patience is not None and outcome.since_best >= options.patience
                saved = True
            elif last:
                save_best()
                saved = True
            # Signals reach processes at different steps; to agree is to wait for the device.
            often = machine.device.type == "cpu" or processes.count == 1
            signal = stop.agreed(processes) if often or logged else None
            if saved or outcome.steps % options.save_every == 0 or signal is not None:
                save_last()
            if signal is not None and outcome.steps < options.steps and not outcome.early:
                raise Stopped(
                    signal,
                    f"stopped after step {outcome.steps} of {options.steps}; go on with resume={folder}",
                )
    return outcome
