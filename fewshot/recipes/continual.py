"""Continual learning: one stream of tasks through one loop, every task so far measured after each."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig
from torch.optim import Optimizer

from fewshot.continual.accuracy_matrix import write_matrices
from fewshot.continual.linear_probe import linear_probe
from fewshot.continual.stream import StreamFeed
from fewshot.continual.task_schedule import TaskSchedule, check_over
from fewshot.errors import InputError
from fewshot.evaluation.embeddings import embed
from fewshot.recipes.continual_figure import save_heat_maps
from fewshot.recipes.continual_result import AT_THE_END, StreamResult, kept_bytes, print_result, save_stream
from fewshot.recipes.model import card
from fewshot.recipes.network import optimizer_for
from fewshot.recipes.run_in_progress import Running, running, start
from fewshot.recipes.schedule import schedule_for
from fewshot.recipes.stream_parts import StreamParts, samplers_for, steps_for, stream_parts
from fewshot.sampling.feed import PlainSampler
from fewshot.training import checkpoint
from fewshot.training.device import Machine
from fewshot.training.loop import LearningRates, LoopOptions
from fewshot.training.loop import train as run_loop
from fewshot.training.schedule import Schedule

METHOD = "method.pt"


def train(config: DictConfig) -> Path:
    """Learn the tasks of a stream one after another, or go on with the run that `resume` names.

    Returns:
        the run's folder: beside the files of every run, `accuracy.json`, `accuracy_KIND.csv` and
        `accuracy.png` after each task, and at the end `method.pt` (all that predicts) and
        `eval/continual/result.json`.

    Raises:
        InputError: anything the user can mend.
        Stopped: by a signal, with the state saved.
    """
    started = start(config)
    config, machine = started.config, started.machine
    machine.processes.require_one("recipe=continual")
    if config.training.ema is not None:
        raise InputError("training.ema: an average of weights over tasks is no method here; set it to null")
    check_over(config.scenario.schedule)

    # The stream, and what learns it.
    parts = stream_parts(config, machine)
    scenario, method = parts.scenario, parts.method
    samplers = samplers_for(config, scenario, method)
    steps = steps_for(config, samplers)
    feed = StreamFeed(
        scenario, parts.image_set, method, samplers, steps, parts.augment, machine.device, config.seed
    )

    # The optimizer is never made anew; how the learning rate meets a new task, scenario.schedule says.
    optimizer = optimizer_for(config, method, machine)
    schedule = _schedule(config, optimizer, samplers, steps)
    options = LoopOptions(steps=sum(steps), seed=config.seed, compile=config.compile, **config.training)

    selection = f"last weights, no selection; measured on {parts.evaluated} images"
    with running(started, _name(config), {"recipe": "continual", "selection": selection}) as run:
        feed.learned = lambda task: _show(feed, run, task)
        outcome = run_loop(
            method,
            feed,
            optimizer,
            schedule,
            machine,
            options,
            validate=lambda _: {},
            monitor="",
            tracker=run.tracker,
            folder=run.folder,
            card=lambda _: card(
                parts.network.architecture,
                parts.network.trained_on,
                selection,
                scenario.class_names,
                source=parts.source,
            ),
            state=started.state,
        )
        with machine.autocast():
            feed.finish()
        checkpoint.save(run.folder / METHOD, {"method": method.state_dict(), "step": outcome.steps})
        probe = _probe(parts, machine) if config.scenario.linear_probe else None
        result = StreamResult.of(config, parts, feed.matrices(), feed.untrained, probe, machine)
        result.details["cost"] = {
            "seconds": outcome.seconds,
            "steps": outcome.steps,
            "images_seen": sum(
                n * len(sampler.step(0)) * method.views for n, sampler in zip(steps, samplers, strict=True)
            ),
            "kept_bytes": kept_bytes(method),
        }
        save_stream(run.folder / AT_THE_END, result)
        run.record.update(vars(outcome))
        run.tracker.summary({**result.figures(), "steps": outcome.steps, "seconds": outcome.seconds})
        print(f"run        {run.folder}")
        print_result(result)
        print(f"tables     {run.folder}/accuracy_*.csv, heat maps {run.folder}/accuracy.png")
    return run.folder


def _schedule(
    config: DictConfig, optimizer: Optimizer, samplers: list[PlainSampler], steps: list[int]
) -> LearningRates:
    epochs = [sampler.steps_per_epoch for sampler in samplers]
    if config.scenario.schedule == "stream":
        return schedule_for(config.scheduler, optimizer, sum(steps), epochs[0])
    return TaskSchedule(
        optimizer,
        lambda length, per_epoch: schedule_for(config.scheduler, optimizer, length, per_epoch),
        lambda: Schedule(optimizer, None, "step", 0, 1),
        steps,
        epochs,
        config.scenario.schedule,
    )


def _show(feed: StreamFeed, run: Running, task: int) -> None:
    """Tell the accuracies after a task, and save all so far."""
    matrices = feed.matrices()
    write_matrices(run.folder, matrices)
    save_heat_maps(run.folder / "accuracy.png", matrices)
    til, cil = (matrix.after(task) for matrix in matrices.values())
    step = int(feed.ends[task])
    run.tracker.scalars(
        {"task": task + 1, "val/task_incremental": til.mean(), "val/class_incremental": cil.mean()}, step
    )
    name = matrices["task_incremental"].names[task]
    print(
        f"after task {name} ({task + 1} of {len(feed.ends)}): task-incremental {100 * til.mean():.2f}%, "
        f"class-incremental {100 * cil.mean():.2f}% over the tasks so far; the task itself "
        f"{100 * til[-1]:.2f}%, {100 * cil[-1]:.2f}%",
        file=sys.stderr,
        flush=True,
    )


def _probe(parts: StreamParts, machine: Machine) -> NDArray[np.float64]:
    embedder = parts.network.embedder.eval()

    def features(images: NDArray[np.int64]) -> NDArray[np.float32]:
        made = embed(
            embedder, parts.image_set, images, device=machine.device, precision=machine.precision
        ).features
        return made.to(torch.float32).cpu().numpy()

    return linear_probe(features, parts.scenario)


def _name(config: DictConfig) -> str:
    choices = config.get("choices") or {}
    return f"{choices.get('continual', 'continual')}_{choices.get('data', 'data')}"
