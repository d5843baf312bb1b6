"""What a command would do, found out without doing it: its parts are built without weights, none runs."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from omegaconf import DictConfig, open_dict

from fewshot.config import instantiate
from fewshot.data import catalogue
from fewshot.data.catalogue import open_image_set
from fewshot.data.source import Source
from fewshot.errors import InputError
from fewshot.models.embedder import Embedder
from fewshot.recipes import few_shot, maml, retrieval
from fewshot.recipes.calibrated import asked_for
from fewshot.recipes.continual_evaluation import finished_matrices
from fewshot.recipes.model import load_model, load_nothing, model_file
from fewshot.recipes.retrieval import refuse_senseless
from fewshot.recipes.run_record import newest_run, resumable
from fewshot.recipes.stream_parts import samplers_for, steps_for, stream_parts
from fewshot.recipes.subject import data_of, protocol_of, source_for
from fewshot.recipes.testbeds import shots_of, testbed_for, told
from fewshot.recipes.training_data import training_data
from fewshot.recipes.training_parts import training_parts
from fewshot.recipes.training_run import Recipe, run_name
from fewshot.sampling.class_table import ClassTable
from fewshot.sampling.episodes import Episodes
from fewshot.training.device import Machine, set_up

Lines = list[tuple[str, str]]
"""(title, text) to print."""

RECIPES = {f"{module.__name__}.train": module.RECIPE for module in (few_shot, maml, retrieval)}
_BESIDE = ("mixup", "memory", "sampler", "augment")
CONTINUAL = "fewshot.recipes.continual.train"


def plan_training(config: DictConfig) -> Lines:
    """What `train.py` would do with the config.

    Everything that a run builds is built, on the meta device, where tensors have shapes and no values: no
    weights are loaded or fetched, no image is read, no file is written.

    Raises:
        InputError: whatever would keep the run from starting, also that the data set's files are not there.
    """
    machine = set_up(config.device, config.precision, config.threads)
    if config.resume is not None:
        run = Path(config.resume)
        resumable(run)
        if not any((run / name).is_file() for name in ("last.pt", "last.pt.previous")):
            raise InputError(f"resume={run}: that run stopped before it saved a state; start it anew")
        return [("would", f"go on with {run}"), ("machine", machine_line(machine))]
    refuse_unwritable(Path(config.output_dir))
    if config.init is not None:
        model_file(Path(config.init))
    target = str(config.recipe._target_)
    recipe = RECIPES.get(target)
    if recipe is None and target != CONTINUAL:
        return [
            ("would", f"call {target}"),
            ("machine", machine_line(machine)),
            ("not checked", "a recipe of your own"),
        ]
    protocol = "continual" if recipe is None else recipe.protocol
    source: Source = instantiate(config.data, offered={"protocol": protocol})
    data, packed = _data_line(source)
    chosen = protocol if recipe is None else recipe.name
    lines = [("would", f"train, recipe={chosen}"), ("data", data)]
    if packed:
        lines += _stream_lines(config) if recipe is None else _training_lines(config, recipe)
    else:
        lines.append(("not checked", "parts that depend on the images, which the first run packs"))
    choices = config.get("choices") or {}
    name = config.name or (
        run_name(config) if recipe else f"{choices.get('continual')}_{choices.get('data')}"
    )
    lines.append(("machine", machine_line(machine)))
    return [*lines, ("writes", f"{config.output_dir}/DATE_TIME_{name}_XXXX/")]


def plan_evaluation(config: DictConfig) -> Lines:
    """What `eval.py` would do with the config; nothing is embedded.

    Raises:
        InputError: whatever would keep it from starting.
    """
    machine = set_up(config.device, config.precision, config.threads)
    kind = str((config.get("choices") or {}).get("evaluation", "few_shot"))
    instantiate(config.evaluation)
    run = Path(config.run) if config.run is not None else newest_run(Path(config.output_dir), kind)
    lines = [("would", f"evaluate, evaluation={kind}"), ("run", str(run))]
    if kind == "continual":
        tasks = len(next(iter(finished_matrices(run).values())).names)
        lines.append(("stream", f"{tasks} tasks, every one measured anew"))
        return [*lines, ("machine", machine_line(machine))]
    path = model_file(run)
    model = load_model(path, torch.device("cpu"))
    node = config.data if config.data is not None else data_of(path, model)
    source = source_for(model.architecture, node, protocol_of(kind))
    data, packed = _data_line(source)
    lines += [("model", _network(model.embedder)), ("data", data)]
    if packed:
        lines.append(("task", _evaluated(config, kind, source)))
    else:
        lines.append(("not checked", "classes and images, which the first run packs"))
    return [*lines, ("machine", machine_line(machine)), ("writes", f"{path.parent}/eval/")]


def _training_lines(config: DictConfig, recipe: Recipe) -> Lines:
    config = _unloaded(config)
    data = training_data(config, recipe.protocol, torch.device("cpu"))
    meta = _meta()
    if data.validation is not None:
        with_one = config.copy()
        with_one.validation.episodes = min(1, config.validation.episodes)
        recipe.validation(data, with_one, meta)
    with torch.device("meta"):
        parts = training_parts(config, data, meta)
    _pass_through(parts.network.embedder)
    drawn = parts.feed.sampler.step(0)
    images = (drawn.images if isinstance(drawn, Episodes) else drawn).size
    steps = parts.options.steps
    chosen = "" if data.validation is None else f"; validates every {config.validation.every} steps"
    return [
        ("classes", f"trains on {len(data.base.classes)}; {data.selection(recipe.measure(config))}"),
        ("model", _network(parts.network.embedder)),
        _loss_line(config),
        ("steps", f"{steps:,} of {images} images ({steps * images:,} in all){chosen}"),
    ]


def _loss_line(config: DictConfig) -> tuple[str, str]:
    if (inner := config.get("maml")) is not None:
        steps = f"{inner.inner_steps} inner steps at {inner.inner_lr}"
        return ("loss", f"cross-entropy after adapting {inner.adapt}, {steps}")
    return ("loss", f"{_choice(config, 'loss')}, " + ", ".join(f"{g}={_choice(config, g)}" for g in _BESIDE))


def _stream_lines(config: DictConfig) -> Lines:
    config = _unloaded(config)
    with torch.device("meta"):
        parts = stream_parts(config, _meta())
    samplers = samplers_for(config, parts.scenario, parts.method)
    steps = steps_for(config, samplers)
    _pass_through(parts.network.embedder)
    tasks = parts.scenario.tasks
    return [
        (
            "classes",
            f"{len(parts.scenario.class_names)} in {len(tasks)} tasks; measured on {parts.evaluated} images",
        ),
        ("model", _network(parts.network.embedder)),
        ("method", f"{_choice(config, 'continual')} with loss={_choice(config, 'loss')}"),
        ("steps", f"{sum(steps):,} in all, {'/'.join(map(str, dict.fromkeys(steps)))} a task"),
    ]


def _evaluated(config: DictConfig, kind: str, source: Source) -> str:
    image_set = open_image_set(source, residency="memmap")
    classes = source.class_split(image_set.class_names).part(config.part)
    table = ClassTable.of(image_set, classes)
    among = f"{len(classes)} {config.part} classes of {source.name}"
    if kind == "retrieval":
        images = table.all_images
        refuse_senseless(image_set.labels.numpy()[images], config.part)
        return f"retrieval among {len(images):,} images of {among}"
    shots = shots_of(config)
    if kind != "maml":
        instantiate(config.classifier)
    one = min(1, config.episodes)
    testbed = testbed_for(config, source, image_set, config.part, episodes=one)
    if asked_for(config):
        testbed_for(config, source, image_set, "val", episodes=one)
    counts = ", ".join(f"{count}-shot" for count in shots)
    return f"{config.episodes:,} episodes, {told(testbed)}, {counts}, of {among}; " + (
        "each adapted to" if kind == "maml" else f"classifier={_choice(config, 'classifier')}"
    )


def _data_line(source: Source) -> tuple[str, bool]:
    """What is there of the images, and whether they are packed.

    Raises:
        InputError: nothing is there, or it cannot be used.
    """
    status = catalogue.status(source)
    if status.problem is not None or (status.count is None and status.form is None):
        raise InputError(f"data={status.line()}")
    return status.line().replace(": ", f" ({source.split}): ", 1), status.count is not None


def _unloaded(config: DictConfig) -> DictConfig:
    """The config, so that images are mapped and weights of a backbone are neither loaded nor fetched.

    Raises:
        InputError: a local file of weights that is not there.
    """
    config = config.copy()
    weights = config.backbone.get("weights")
    if isinstance(weights, str) and not Path(os.path.expanduser(weights)).is_file():
        raise InputError(f"backbone.weights={weights}: there is no such file")
    with open_dict(config):
        config.init = None
        config.data.residency = "memmap"
        load_nothing(config.backbone)
    return config


def _meta() -> Machine:
    return Machine(torch.device("meta"), "float32", torch.get_num_threads())


def _pass_through(embedder: Embedder) -> None:
    """Send the shape of two images through, which tells a network that is too deep for their size."""
    shape = (2, embedder.channels, embedder.size, embedder.size)
    with torch.no_grad():
        embedder.eval()(torch.empty(shape, device="meta"))


def _network(embedder: Embedder) -> str:
    weights = sum(parameter.numel() for parameter in embedder.parameters())
    return (
        f"{type(embedder.backbone).__name__}, {weights:,} parameters, "
        f"{embedder.channels} x {embedder.size} px to {embedder.dim} dimensions"
    )


def machine_line(machine: Machine) -> str:
    """Where it would run, at what precision and by how many threads."""
    found = machine.describe()
    return f"{found['device']}, {found['precision']}, {found['threads']} threads"


def _choice(config: DictConfig, group: str) -> str:
    return str((config.get("choices") or {}).get(group, "none"))


def refuse_unwritable(folder: Path) -> None:
    """Refuse an `output_dir` in which nothing can be made.

    Raises:
        InputError: its first parent that exists is no folder, or not ours to write to.
    """
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(
            f"output_dir={folder}: no folder can be made in {existing}; choose another with output_dir=DIR"
        )
