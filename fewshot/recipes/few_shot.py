"""Few-shot classification: train on base classes, choose by episodes of validation classes."""

from __future__ import annotations

import datetime
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf
from torch import nn
from torch.optim import Optimizer

from fewshot.config import instantiate, plain
from fewshot.data.catalogue import open_image_set
from fewshot.data.image_set import ImageSet
from fewshot.data.source import Source
from fewshot.errors import InputError
from fewshot.evaluation.accuracy import evaluate
from fewshot.evaluation.classifiers.cl2n import CL2N
from fewshot.evaluation.embeddings import Embeddings, embed
from fewshot.models.embedder import Embedder
from fewshot.objectives.episodic import Episodic
from fewshot.objectives.plain import Plain
from fewshot.progress import Progress
from fewshot.randomness import stream_key
from fewshot.recipes.leakage import identity
from fewshot.recipes.model import Architecture, card, load_model, model_file, start_from
from fewshot.recipes.run_record import load_config, read_record, save_config, save_record
from fewshot.sampling.class_table import ClassTable
from fewshot.sampling.episodes import EpisodeSampler
from fewshot.sampling.feed import feed_for
from fewshot.sampling.testbed import draw_testbed
from fewshot.tracking.guarded import trackers
from fewshot.training import checkpoint
from fewshot.training.device import Machine, keep_memory, set_up
from fewshot.training.loop import LoopOptions, Outcome
from fewshot.training.loop import train as run_loop
from fewshot.training.run_directory import new_run_dir
from fewshot.training.schedule import Schedule
from fewshot.training.stopping import Stopped

RECIPE = "few_shot"


def train(config: DictConfig) -> Path:
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
        if folder.is_file():
            raise InputError(f"resume={folder} is a file: give the folder of the run")
        if read_record(folder).get("status") == "finished":
            raise InputError(
                f"resume={folder}: that run is finished; evaluate it with python eval.py run={folder}"
            )
        state = checkpoint.load_last(folder)
        config = OmegaConf.merge(load_config(folder), {"device": config.device, "threads": config.threads})  # type: ignore[assignment]
    if config.allocator:
        keep_memory()
    machine = set_up(config.device, config.precision, config.threads)

    # Data: base classes to train on, validation classes to choose by; the test classes stay untouched.
    source: Source = instantiate(config.data)
    image_set = open_image_set(source, machine.device)
    split = source.class_split(image_set.class_names)
    base = ClassTable.of(image_set, split.part("train"))
    every = config.validation.every
    sampler = instantiate(config.sampler, table=base, seed=config.seed, stream="train")
    augment = instantiate(config.augment)
    feed = feed_for(image_set, sampler, augment, machine.device)
    validation = None
    if every:
        validation = Validation(image_set, base, ClassTable.of(image_set, split.part("val")), config, machine)

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
    loss = instantiate(config.loss, offered={"classes": len(base.classes), "dim": embedder.dim})
    objective = objective_for(embedder, loss, sampler).to(machine.device)

    # Fused on CUDA: one kernel a step, and the guard can skip a step without waiting for the device.
    offered = {"fused": True} if machine.device.type == "cuda" else {}
    trained = [p for p in objective.parameters() if p.requires_grad]
    optimizer = instantiate(config.optimizer, offered=offered, params=trained)
    if config.epochs is not None and config.epochs < 1:
        raise InputError(f"epochs={config.epochs} must be at least 1, or null")
    steps = config.steps if config.epochs is None else config.epochs * feed.steps_per_epoch
    schedule = schedule_for(config.scheduler, optimizer, steps, feed.steps_per_epoch)
    options = LoopOptions(
        steps=steps,
        seed=config.seed,
        validate_every=every,
        patience=config.validation.patience,
        compile=config.compile,
        **config.training,
    )

    if folder is None:
        folder = new_run_dir(Path(config.output_dir), config.name or run_name(config))
        save_config(folder, config)
    record: dict[str, Any] = {
        "recipe": RECIPE,
        "status": "running",
        "started": _now(),
        "machine": machine.describe(),
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
            monitor="accuracy",
            tracker=tracker,
            folder=folder,
            card=lambda _: card(architecture, trained_on),
            state=state,
        )
        add_train_mean(folder / "best.pt", base, image_set, machine)
        record.update(vars(outcome))
        tracker.summary({"val/accuracy": outcome.best, "steps": outcome.steps, "seconds": outcome.seconds})
        status, exit_status = "finished", 0
        announce(folder, outcome, config)
        return folder
    except Stopped as stop:
        status, exit_status = "stopped", 128 + stop.signal
        raise
    finally:
        save_record(folder, {**record, "status": status, "ended": _now()})
        tracker.close(exit_status)


class Validation:
    """Few-shot accuracy on fixed episodes of the validation classes.

    Args:
        image_set: of both.
        base, table: the training and the validation classes.
        config: of the run: the task, the number of episodes and the classifier.
        machine: what to embed on.
    """

    def __init__(
        self, image_set: ImageSet, base: ClassTable, table: ClassTable, config: DictConfig, machine: Machine
    ) -> None:
        self.image_set = image_set
        self.machine = machine
        self.classifier = instantiate(config.classifier)
        # CL2N needs the mean of training embeddings, which changes as training goes on: a sample gives it.
        self.base_images = base.all_images[:: max(1, len(base.all_images) // 4000)]
        self.testbed = draw_testbed(
            table,
            "val",
            ways=config.ways,
            shots=config.shots,
            queries=config.queries,
            episodes=config.validation.episodes,
            seed=config.seed,
        )
        self.images = np.unique(self.testbed.images)

    def __call__(self, embedder: Embedder) -> dict[str, float]:
        classifier = self.classifier
        if isinstance(classifier, CL2N):
            classifier = replace(classifier, mean=self._embed(embedder, self.base_images).features.mean(0))
        interval = evaluate(self._embed(embedder, self.images), self.testbed, classifier).interval
        return {"accuracy": interval.mean, "interval": interval.half_width}

    def _embed(self, embedder: Embedder, images: NDArray[np.int64]) -> Embeddings:
        machine = self.machine
        return embed(embedder, self.image_set, images, device=machine.device, precision=machine.precision)


def objective_for(embedder: Embedder, loss: nn.Module, sampler: object) -> Episodic | Plain:
    """The objective that a loss asks for.

    Raises:
        InputError: an episodic loss without episodes, or with episodes of one class.
    """
    if getattr(loss, "kind", None) != "episodic":
        return Plain(embedder, loss)
    if not isinstance(sampler, EpisodeSampler):
        raise InputError(
            f"loss {type(loss).__name__} compares queries with supports, but sampler "
            f"{type(sampler).__name__} draws no episodes: use sampler=episodes"
        )
    if sampler.ways < 2:
        raise InputError(f"sampler.ways={sampler.ways} leaves nothing to tell apart: use 2 or more")
    return Episodic(embedder, loss)


def schedule_for(node: DictConfig, optimizer: Optimizer, steps: int, steps_per_epoch: int) -> Schedule:
    """The learning-rate schedule of a config node: a torch scheduler, its unit and its warm-up.

    Raises:
        InputError: a value that torch would take and fail on in the middle of the run, or misuse.
    """
    options = {key: value for key, value in node.items() if key not in ("interval", "warmup")}
    if node.interval not in ("step", "epoch"):
        raise InputError(f"scheduler.interval={node.interval} must be step or epoch")
    if not isinstance(node.warmup, int) or node.warmup < 0:
        raise InputError(f"scheduler.warmup={node.warmup} must be a number of steps, 0 or more")
    for key in ("T_max", "step_size"):
        if (value := options.get(key)) is not None and not (isinstance(value, int) and value > 0):
            raise InputError(f"scheduler.{key}={value} must be a whole number, at least 1")
    milestones = options.get("milestones", [])
    if isinstance(milestones, (str, int, float)) or not all(isinstance(m, int) for m in milestones):
        raise InputError(f"scheduler.milestones={milestones} must be a list of whole numbers")
    if (gamma := options.get("gamma")) is not None and not (isinstance(gamma, (int, float)) and gamma > 0):
        raise InputError(f"scheduler.gamma={gamma} must be a number above 0")
    if options.get("T_max", 0) is None:
        options["T_max"] = steps if node.interval == "step" else max(1, steps // steps_per_epoch)
    scheduler = instantiate(options, optimizer=optimizer) if options["_target_"] is not None else None
    return Schedule(optimizer, scheduler, node.interval, node.warmup, steps_per_epoch)


def add_train_mean(path: Path, base: ClassTable, image_set: ImageSet, machine: Machine) -> None:
    """Put the mean embedding of the training images into a model's checkpoint: CL2N needs it."""
    model = load_model(path, machine.device)
    with Progress("embedding train", len(base.all_images), "images") as progress:
        embeddings = embed(
            model.embedder,
            image_set,
            base.all_images,
            device=machine.device,
            precision=machine.precision,
            progress=progress.advance,
        )
    content = checkpoint.load(path)
    content["train_mean"] = embeddings.features.double().mean(0).float().cpu()
    checkpoint.save(path, content)


def run_name(config: DictConfig) -> str:
    """What a run is called if the user gives no name: loss and data, as they were typed."""
    choices = config.get("choices") or {}
    return f"{choices.get('loss', 'loss')}_{choices.get('data', 'data')}"


def announce(folder: Path, outcome: Outcome, config: DictConfig) -> None:
    """Say what came out and what to type next."""
    print(f"run        {folder}")
    print(
        f"trained    {outcome.steps} steps in {outcome.seconds:.0f} s"
        + (", stopped early" if outcome.early else "")
    )
    if outcome.skipped:
        print(f"skipped    {outcome.skipped} steps that were not finite")
    if outcome.best is not None:
        print(
            f"validation {100 * outcome.best:.2f}% {config.ways}-way {config.shots}-shot, "
            f"after step {outcome.best_step} (chosen on validation classes)"
        )
    print(f"next       python eval.py run={folder} shots={config.shots}")


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="microseconds")
