"""Where the time of a training step goes: a run's own parts, a few steps of its own loop, watched."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch.utils.flop_counter import FlopCounterMode

from fewshot.errors import InputError
from fewshot.recipes import few_shot, retrieval
from fewshot.recipes.profile_report import Profile
from fewshot.recipes.run_in_progress import start
from fewshot.recipes.training_data import training_data
from fewshot.recipes.training_parts import TrainingParts, training_parts
from fewshot.sampling.feed import Feed
from fewshot.training.ceilings import clock, copy_rate, matmul_rate
from fewshot.training.device import Machine
from fewshot.training.loop import train as run_loop
from fewshot.training.observation import PHASES, Observation, observed, observed_feed
from fewshot.training.operand_bytes import OperandBytes

WARM_UP = 5
"""Steps that are left out: memory is taken, kernels are chosen, the optimizer makes its state."""

RECIPES = {f"{module.__name__}.train": module.RECIPE for module in (few_shot, retrieval)}


def profile(config: DictConfig, steps: int) -> Profile:
    """Train for a few steps as the config says and measure them; nothing is kept.

    Args:
        config: of a run, as `conf/train.yaml` says.
        steps: to measure.

    Raises:
        InputError: anything the user can mend.
    """
    if (recipe := RECIPES.get(str(config.recipe.get("_target_")))) is None:
        names = " and ".join(f"recipe={known.name}" for known in RECIPES.values())
        raise InputError(f"profile measures {names}; a stream's step changes with its tasks")
    if config.compile:
        raise InputError("compile=true melts the phases of a step into one: profile it with compile=false")
    if steps < 1:
        raise InputError(f"profile_steps={steps} must be at least 1")
    started = start(config)
    config, machine = started.config, started.machine
    data = training_data(config, recipe.protocol, machine.device)
    parts = training_parts(config, data, machine)

    phases = observe(parts, machine, WARM_UP + steps, lambda: clock(machine))
    measured = phases.steps[WARM_UP:]
    whole = statistics.median(sum(step.values()) for step in measured)
    memory = None
    if machine.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(machine.device)
        whole = _unwatched(parts, machine, steps)
        memory = torch.cuda.max_memory_allocated(machine.device)
    flop_counter, byte_counter = FlopCounterMode(display=False), OperandBytes()
    with flop_counter:
        flops = observe(parts, machine, 1, flop_counter.get_total_flops).steps[0]
    with byte_counter:
        moved = observe(parts, machine, 1, lambda: byte_counter.total).steps[0]
    return Profile(
        title=f"{recipe.name}, {_named(config)}; {phases.images} images a step, "
        f"{data.image_set.images.shape[-1]} px",
        machine=machine.describe(),
        steps=steps,
        warm_up=WARM_UP,
        seconds={name: statistics.median(step[name] for step in measured) for name in PHASES},
        step_seconds=whole,
        images=phases.images,
        episodes=phases.episodes,
        flops=flops,
        moved=moved,
        matmul_rate=matmul_rate(machine),
        copy_rate=copy_rate(machine),
        peak_memory=memory,
    )


def observe(parts: TrainingParts, machine: Machine, steps: int, read: Callable[[], float]) -> Observation:
    """Train with the loop and observe that many steps; objective and optimizer go on from there."""
    observation = Observation(read)
    with observed(
        observation, parts.objective, parts.objective.embedder, parts.feed, parts.optimizer
    ) as feed:
        # One more: a step is over when the next begins.
        _train(parts, feed, machine, steps + 1)
    return observation


def _unwatched(parts: TrainingParts, machine: Machine, steps: int) -> float:
    """Seconds a step where nothing within the steps waits for the device but the loop itself."""
    edges = (WARM_UP - 1, WARM_UP + steps - 1)

    def read() -> float:
        return clock(machine) if len(observation.steps) in edges else time.perf_counter()

    observation = Observation(read)
    _train(parts, observed_feed(parts.feed, observation), machine, WARM_UP + steps + 1)
    return statistics.mean(sum(step.values()) for step in observation.steps[WARM_UP:])


def _train(parts: TrainingParts, feed: Feed, machine: Machine, steps: int) -> None:
    # Without validation, without a warm-up of the head: what most steps of a run are.
    options = replace(
        parts.options, steps=steps, validate_every=0, patience=None, head_only=0, save_every=steps
    )
    with tempfile.TemporaryDirectory() as folder:
        run_loop(
            parts.objective,
            feed,
            parts.optimizer,
            parts.schedule,
            machine,
            options,
            validate=lambda _: {},
            monitor="",
            tracker=_NoTracker(),
            folder=Path(folder),
            card=lambda _: {},
        )


class _NoTracker:
    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Nothing is kept."""


def _named(config: DictConfig) -> str:
    choices = config.get("choices") or {}
    groups = ("data", "backbone", "head", "loss", "mixup", "memory", "augment", "optimizer")
    return ", ".join(f"{group}={choices[group]}" for group in groups if choices.get(group, "none") != "none")
