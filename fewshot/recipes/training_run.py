"""One training run, of any recipe: its parts built from the config, its folder, its end."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from omegaconf import DictConfig, OmegaConf

from fewshot.config import instantiate, plain
from fewshot.errors import InputError
from fewshot.models.embedder import Embedder
from fewshot.randomness import stream_key
from fewshot.recipes.leakage import identity
from fewshot.recipes.model import Architecture, add_train_mean, card, model_file, start_from
from fewshot.recipes.objective import objective_for
from fewshot.recipes.run_record import resumable, save_config, save_record
from fewshot.recipes.schedule import schedule_for
from fewshot.recipes.training_data import TrainingData, training_data
from fewshot.sampling.feed import feed_for
from fewshot.tracking.guarded import trackers
from fewshot.training import checkpoint
from fewshot.training.device import Machine, keep_memory, set_up
from fewshot.training.loop import LoopOptions, Outcome
from fewshot.training.loop import train as run_loop
from fewshot.training.parameter_groups import parameter_groups
from fewshot.training.run_directory import new_run_dir
from fewshot.training.stopping import Stopped


class Validation(Protocol):
    """What chooses the weights: figures of an embedder on the validation classes, higher is better."""

    def __call__(self, embedder: Embedder) -> dict[str, float]: ...


@dataclass(frozen=True)
class Recipe:
    """What tells one recipe from another.

    Attributes:
        name: of the recipe; evaluation finds its runs by it.
        protocol: the published class split that `data.split=null` stands for.
        monitor: the figure of the validation that chooses the weights.
        measure: what that figure is, in words.
        validation: makes the validation; called if `validation.every` is not 0.
        evaluation: the words of eval.py that suit the run.
    """

    name: str
    protocol: str
    monitor: str
    measure: Callable[[DictConfig], str]
    validation: Callable[[TrainingData, DictConfig, Machine], Validation]
    evaluation: Callable[[DictConfig], str]


def run_training(config: DictConfig, recipe: Recipe) -> Path:
    """Train as `conf/train.yaml` says, or go on with the run that `resume` names.

    Returns:
        the run's folder: config.yaml, metrics.jsonl, last.pt, best.pt, run.json.

    Raises:
        InputError: anything the user can mend.
        Stopped: by a signal, with the state saved.
    """
    state = None
    folder = None
    if config.resume is not None:
        folder = Path(config.resume)
        saved = resumable(folder)
        state = checkpoint.load_last(folder)
        config = OmegaConf.merge(saved, {"device": config.device, "threads": config.threads})  # type: ignore[assignment]
    if config.allocator:
        keep_memory()
    machine = set_up(config.device, config.precision, config.threads)

    # Data: base classes to train on, validation classes to choose by; the test classes stay untouched.
    data = training_data(config, recipe.protocol, machine.device)
    source, base = data.source, data.base
    sampler = instantiate(config.sampler, table=base, seed=config.seed, stream="train")
    augment = instantiate(config.augment)
    feed = feed_for(data.image_set, sampler, augment, machine.device)
    validation = recipe.validation(data, config, machine) if data.validation is not None else None
    selection = data.selection(recipe.measure(config))

    # Model and loss; the weights depend on the seed alone.
    torch.manual_seed(stream_key(config.seed, "weights") >> 1)
    architecture = Architecture(
        plain(config.backbone),
        plain(config.head),
        source.mean,
        source.std,
        source.size,
        source.channels,
    )
    embedder = architecture.build()
    trained_on: dict[str, Any] = {
        **identity(source),
        "before": embedder.backbone.weights_origin,
    }
    if config.init is not None:
        trained_on["before"] = start_from(embedder, model_file(Path(config.init)), torch.device("cpu"))
    offered = {"classes": len(base.classes), "dim": embedder.dim}
    loss = instantiate(config.loss, offered=offered)
    if (memory := _chosen(config, "memory")) is not None:
        loss = instantiate(memory, offered=offered, loss=loss)
    mixup = None if (node := _chosen(config, "mixup")) is None else instantiate(node)
    objective = objective_for(embedder, loss, sampler, mixup).to(machine.device)

    # Fused on CUDA: one kernel a step, and the guard can skip a step without waiting for the device.
    fused = {"fused": True} if machine.device.type == "cuda" else {}
    if config.optimizer.get("lr") is None:
        raise InputError("optimizer.lr: needs a number; proxies learn at a multiple of it")
    groups = parameter_groups(objective, config.optimizer.lr)
    optimizer = instantiate(config.optimizer, offered=fused, params=groups)
    if config.epochs is not None and config.epochs < 1:
        raise InputError(f"epochs={config.epochs} must be at least 1, or null")
    steps = config.steps if config.epochs is None else config.epochs * feed.steps_per_epoch
    schedule = schedule_for(config.scheduler, optimizer, steps, feed.steps_per_epoch)
    options = LoopOptions(
        steps=steps,
        seed=config.seed,
        validate_every=config.validation.every,
        patience=config.validation.patience,
        compile=config.compile,
        **config.training,
    )

    if folder is None:
        folder = new_run_dir(Path(config.output_dir), config.name or run_name(config))
        save_config(folder, config)
    record: dict[str, Any] = {
        "recipe": recipe.name,
        "status": "running",
        "started": _now(),
        "machine": machine.describe(),
        "selection": selection,
    }
    save_record(folder, record)
    print(f"run {folder}", file=sys.stderr)
    step = None if state is None else int(state["outcome"]["steps"])
    tracker = trackers(
        folder, {name: partial(instantiate, node) for name, node in config.tracking.items()}, step
    )
    tracker.config(plain(config))
    status, exit_status = "failed", 1
    try:
        outcome = run_loop(
            objective,
            feed,
            optimizer,
            schedule,
            machine,
            options,
            validate=validation or (lambda _: {}),
            monitor=recipe.monitor,
            tracker=tracker,
            folder=folder,
            card=lambda _: card(architecture, trained_on, selection, base.names),
            state=state,
        )
        add_train_mean(folder / "best.pt", base, data.image_set, machine)
        record.update(vars(outcome))
        tracker.summary(
            {f"val/{recipe.monitor}": outcome.best, "steps": outcome.steps, "seconds": outcome.seconds}
        )
        status, exit_status = "finished", 0
        announce(folder, outcome, selection, recipe.measure(config), recipe.evaluation(config))
        return folder
    except Stopped as stop:
        status, exit_status = "stopped", 128 + stop.signal
        raise
    finally:
        save_record(folder, {**record, "status": status, "ended": _now()})
        tracker.close(exit_status)


def run_name(config: DictConfig) -> str:
    """What a run is called if the user gives no name: loss, mixup and data, as they were typed."""
    choices = config.get("choices") or {}
    mixup = choices.get("mixup", "none")
    mixed = "" if mixup == "none" else f"+{mixup}"
    return f"{choices.get('loss', 'loss')}{mixed}_{choices.get('data', 'data')}"


def announce(folder: Path, outcome: Outcome, selection: str, measure: str, evaluation: str) -> None:
    """Say what came out and what to type next."""
    print(f"run        {folder}")
    print(
        f"trained    {outcome.steps} steps in {outcome.seconds:.0f} s"
        + (", stopped early" if outcome.early else "")
    )
    if outcome.skipped:
        print(f"skipped    {outcome.skipped} steps that were not finite")
    if outcome.best is not None:
        print(f"validation {100 * outcome.best:.2f}% {measure}, after step {outcome.best_step}")
    print(f"weights    {selection}")
    print(f"next       python eval.py run={folder} {evaluation}")


def _chosen(config: DictConfig, group: str) -> DictConfig | None:
    """The node of a group; None where it names no part (a run of an older version has no such group).

    Raises:
        InputError: options of no part.
    """
    node = config.get(group)
    if node is None or "_target_" in node:
        return node
    if node:
        raise InputError(f"{group}.{next(iter(node))}: {group}=none has no options; choose {group}=NAME")
    return None


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="microseconds")
