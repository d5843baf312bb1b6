"""Every file of conf/ composes with its program and builds; experiments and tables set no key in vain."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from fewshot.cli.job import settle
from fewshot.cli.schema import EvalSchema, PredictSchema, TrainSchema
from fewshot.config import check_targets, instantiate, plain
from fewshot.continual.method import Method
from fewshot.data.image_set import ImageSet
from fewshot.data.source import Source
from fewshot.evaluation.classifiers.cl2n import CL2N
from fewshot.objectives.mixed import Mixed
from fewshot.objectives.plain import Plain
from fewshot.recipes.model import Architecture
from fewshot.recipes.objective import maml_objective, objective_for
from fewshot.recipes.schedule import schedule_for
from fewshot.recipes.table import Table
from fewshot.sampling.class_table import ClassTable
from fewshot.sampling.episode_kind import Task
from fewshot.sampling.general_testbed import draw_general_testbed
from fewshot.targets import resolve_target
from fewshot.tracking.guarded import trackers

CONF = Path(__file__).resolve().parents[1] / "conf"
NOT_COMPOSED = ("table", "sweep", "hydra")
NEEDED = {"timm": ["backbone.name=test_resnet"]}
"""What a choice leaves to the user."""


def choices(group: str) -> list[str]:
    folder = CONF / group
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))


EXPERIMENTS = choices("experiment")
TABLES = choices("table")


@pytest.fixture(scope="module", autouse=True)
def hydra() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with initialize_config_dir(str(CONF), version_base="1.3"):
            yield


def composed(program: str, *overrides: str) -> DictConfig:
    """The config as a recipe gets it: composed, resolved, its types and targets checked."""
    config = compose(program, overrides=list(overrides))
    settle(config, {"train": TrainSchema, "eval": EvalSchema, "predict": PredictSchema}[program])
    check_targets(config)
    return config


@pytest.fixture(scope="module")
def table() -> ClassTable:
    """70 classes of 25 images: enough for every sampler in conf/."""
    labels = torch.arange(70).repeat_interleave(25)
    names = tuple(f"class {i}" for i in range(70))
    return ClassTable.of(ImageSet(torch.zeros(len(labels), 1, 1, 1, dtype=torch.uint8), labels, names), names)


def built_embedder(config: DictConfig, source: Source) -> Any:
    """On the meta device: shapes without weights, however large, and none fetched."""
    backbone = plain(config.backbone)
    if backbone.get("pretrained"):
        backbone["pretrained"] = False
    architecture = Architecture(
        backbone, plain(config.head), source.mean, source.std, source.size, source.channels
    )
    with torch.device("meta"):
        return architecture.build()


def built_objective(config: DictConfig, table: ClassTable) -> torch.nn.Module:
    """As a training builds it, on the meta device."""
    embedder = built_embedder(config, instantiate(config.data))
    sampler = instantiate(config.sampler, table=table, seed=config.seed, stream="train")
    if "maml" in config:
        pytest.importorskip("learn2learn", reason="MAML is its: make learn2learn")
        assert_at_defaults(config.maml, chosen=("adapt",))
        return maml_objective(embedder, instantiate(config.maml), sampler)
    offered = {"classes": len(table.classes), "dim": embedder.dim}
    loss = instantiate(config.loss, offered=offered)
    if "_target_" in config.continual:
        given = {**offered, "embedder": embedder, "loss": loss, "augment": instantiate(config.augment)}
        method: torch.nn.Module = instantiate(config.continual, offered=given)
        return method
    if "_target_" in config.memory:
        loss = instantiate(config.memory, offered=offered, loss=loss)
    mixup = instantiate(config.mixup) if "_target_" in config.mixup else None
    return objective_for(embedder, loss, sampler, mixup)


def leaves(node: Any, path: str = "") -> Iterator[str]:
    """Dotted keys of all values that are no mapping."""
    if isinstance(node, Mapping) and node:
        for key, value in node.items():
            yield from leaves(value, f"{path}.{key}" if path else str(key))
    else:
        yield path


def test_every_group_is_tested_here() -> None:
    tested = {
        *(
            "adapt",
            "augment",
            "backbone",
            "classifier",
            "continual",
            "data",
            "episode",
            "evaluation",
            "experiment",
            "head",
        ),
        *("loss", "memory", "mixup", "optimizer", "recipe", "sampler", "scheduler", "tracking"),
    }
    assert {path.name for path in CONF.iterdir() if path.is_dir()} - set(NOT_COMPOSED) == tested


@pytest.mark.parametrize("choice", choices("recipe"))
def test_recipe(choice: str) -> None:
    assert callable(resolve_target(composed("train", f"recipe={choice}").recipe._target_, "recipe"))


@pytest.mark.parametrize("choice", choices("evaluation"))
def test_evaluation(choice: str) -> None:
    config = composed("eval", f"evaluation={choice}")
    assert callable(instantiate(config.evaluation))
    assert_at_defaults(config.evaluation)


def assert_at_defaults(node: DictConfig, given: tuple[str, ...] = (), chosen: tuple[str, ...] = ()) -> None:
    """A part's YAML names every argument of its constructor but the given, at its default but the chosen."""
    parameters = inspect.signature(resolve_target(node._target_, "")).parameters
    options = {key: value for key, value in plain(node).items() if key != "_target_"}
    assert set(options) == set(parameters) - set(given)
    for key, value in options.items():
        default = parameters[key].default
        assert key in chosen or value == (list(default) if isinstance(default, tuple) else default), key


@pytest.mark.parametrize("choice", choices("continual"))
def test_continual(choice: str, table: ClassTable) -> None:
    made = built_objective(composed("train", "recipe=continual", f"continual={choice}"), table)
    assert isinstance(made, Plain if choice == "none" else Method)


@pytest.mark.parametrize("choice", choices("adapt"))
def test_adapt(choice: str) -> None:
    config = composed("train", f"adapt={choice}", "backbone=timm", "backbone.name=test_resnet")
    if choice == "none":
        return
    assert_at_defaults(config.adapt)
    if choice == "lora":
        pytest.importorskip("peft")
    embedder = built_embedder(config, instantiate(config.data))
    instantiate(config.adapt).apply(embedder)
    trained = [parameter.requires_grad for parameter in embedder.backbone.parameters()]
    assert any(trained) == (choice != "frozen") and all(trained) == (choice == "finetune")


@pytest.mark.parametrize("choice", choices("memory"))
def test_memory(choice: str) -> None:
    node = composed("train", f"memory={choice}").memory
    if choice != "none":
        assert_at_defaults(node, given=("loss", "dim"))
        loss = instantiate(composed("train", "loss=contrastive").loss)
        draw = torch.Generator().manual_seed(0)
        value = instantiate(node, loss=loss, dim=4)(torch.randn(6, 4, generator=draw), torch.arange(6) // 2)
        assert value.isfinite()


@pytest.mark.parametrize("choice", choices("mixup"))
def test_mixup(choice: str, table: ClassTable) -> None:
    config = composed("train", f"mixup={choice}", "recipe=retrieval")
    assert isinstance(built_objective(config, table), Plain if choice == "none" else Mixed)
    if choice != "none":
        assert_at_defaults(config.mixup, chosen=("where",))


@pytest.mark.parametrize("choice", choices("data"))
@pytest.mark.parametrize("program", ["train", "eval"])
def test_data(program: str, choice: str) -> None:
    config = composed(program, f"data={choice}")
    source = instantiate(config.data)
    assert isinstance(source, Source) and source.name == choice
    assert len(source.mean) == len(source.std) == source.channels


@pytest.mark.parametrize("choice", choices("augment"))
@pytest.mark.parametrize("channels", [1, 3])
def test_augment(choice: str, channels: int) -> None:
    augment = instantiate(composed("train", f"augment={choice}").augment)
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (4, channels, 20, 20), dtype=torch.uint8, generator=draw)
    made = augment(images, draw)
    assert made.shape == images.shape and made.dtype == torch.float32
    assert made.min() >= 0 and made.max() <= 1
    assert torch.equal(made, images / 255) == (choice == "none")


@pytest.mark.parametrize(
    "backbone,head",
    [*((name, "none") for name in choices("backbone")), *(("conv4", name) for name in choices("head"))],
)
def test_backbone_and_head(backbone: str, head: str) -> None:
    chosen = [f"backbone={backbone}", f"head={head}", *NEEDED.get(backbone, [])]
    for data in ("glyphs", "cifar_fs"):
        config = composed("train", *chosen, f"data={data}")
        source = instantiate(config.data)
        embedder = built_embedder(config, source)
        images = torch.empty(2, source.channels, source.size, source.size, device="meta")
        assert embedder(images).shape == (2, embedder.dim)
        assert embedder.embed(images).shape == (2, embedder.embed_dim)


@pytest.mark.parametrize("choice", choices("loss"))
def test_loss(choice: str, table: ClassTable) -> None:
    config = composed("train", f"loss={choice}")
    loss = instantiate(config.loss, offered={"classes": 5, "dim": 8})
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(1, 5, 20, 8, generator=draw, requires_grad=True)
    if loss.kind == "episodic":
        value = loss(images[:, :, :5], images[:, :, 5:])
    else:
        value = loss(images.reshape(-1, 8), torch.arange(5).repeat_interleave(20))
    value.backward()
    assert value.isfinite() and images.grad is not None and images.grad.abs().sum() > 0
    sampler = instantiate(config.sampler, table=table, seed=0, stream="train")
    objective_for(torch.nn.Identity(), loss, sampler)  # type: ignore[arg-type]


@pytest.mark.parametrize("choice", choices("sampler"))
def test_sampler(choice: str, table: ClassTable) -> None:
    config = composed("train", f"sampler={choice}")
    assert_at_defaults(config.sampler, ("table", "seed", "stream"), ("ways", "shots", "queries", "batch"))
    sampler = instantiate(config.sampler, table=table, seed=config.seed, stream="train")
    assert sampler.steps_per_epoch > 0
    sampler.step(0)


@pytest.mark.parametrize("recipe", choices("recipe"))
@pytest.mark.parametrize("optimizer", choices("optimizer"))
def test_every_recipe_takes_every_optimizer(recipe: str, optimizer: str) -> None:
    config = composed("train", f"recipe={recipe}", f"optimizer={optimizer}")
    instantiate(config.optimizer, params=[torch.nn.Parameter(torch.ones(2))])


@pytest.mark.parametrize("optimizer", choices("optimizer"))
@pytest.mark.parametrize("scheduler", choices("scheduler"))
def test_optimizer_and_scheduler(optimizer: str, scheduler: str) -> None:
    config = composed("train", f"optimizer={optimizer}", f"scheduler={scheduler}", "steps=1000")
    weight = torch.nn.Parameter(torch.ones(2))
    made = instantiate(config.optimizer, params=[weight])
    schedule = schedule_for(config.scheduler, made, 1000, 10)
    rates = []
    for step in range(1, 1001):
        weight.grad = torch.ones(2)
        if step == 1:
            made.step()
        schedule.finished(step)
        rates.append(made.param_groups[0]["lr"])
    assert weight[0] < 1
    assert rates[0] == pytest.approx(config.optimizer.lr, rel=1e-3)
    after = {"none": 1.0, "step": 0.5**5, "multistep": 0.1, "cosine": 0.0}[scheduler]
    assert rates[-1] == pytest.approx(after * config.optimizer.lr, abs=1e-12)


@pytest.mark.parametrize("choice", choices("classifier"))
@pytest.mark.parametrize("program", ["train", "eval", "predict"])
def test_classifier(program: str, choice: str) -> None:
    config = composed(program, f"classifier={choice}").classifier
    assert_at_defaults(config, given=("mean",), chosen=("classifier", "similarity"))
    classifier = instantiate(config)
    if isinstance(classifier, CL2N):
        classifier = CL2N(classifier.classifier, mean=torch.zeros(6))
    draw = torch.Generator().manual_seed(0)
    centres = 10 * torch.randn(2, 5, 1, 6, generator=draw)
    support, query = (centres + 0.1 * torch.randn(2, 5, n, 6, generator=draw) for n in (3, 4))
    predicted = classifier.fit(support).predict(query.flatten(1, 2)).argmax(-1)
    assert torch.equal(predicted, torch.arange(5).repeat_interleave(4).expand(2, -1))


@pytest.mark.parametrize("choice", choices("episode"))
def test_episode(choice: str, table: ClassTable) -> None:
    config = composed("eval", f"episode={choice}")
    if choice == "balanced":
        assert "_target_" not in config.episode
        return
    assert_at_defaults(config.episode)
    table = replace(table, superclasses=tuple(f"of {i % 7}" for i in range(70)))
    kind = instantiate(config.episode)
    made = draw_general_testbed(table, "test", kind, Task(5, 5, 15), episodes=3, seed=0)
    assert len(made) == 3 and made.told in kind.describe(Task(5, 5, 15))


@pytest.mark.parametrize("choice", choices("tracking"))
def test_tracking(choice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    nodes = composed("train", f"tracking={choice}").tracking
    built = trackers(
        tmp_path,
        {name: lambda node=node, **given: instantiate(node, **given) for name, node in nodes.items()},
    )
    assert built.live == ("jsonl", *nodes)
    built.config({"steps": 3})
    built.scalars({"train/loss": 1.0}, 1)
    built.summary({"accuracy": 0.5})
    assert built.live == ("jsonl", *nodes)
    built.close(0)
    assert "train/loss" in (tmp_path / "metrics.jsonl").read_text()
    assert bool(list(tmp_path.rglob("events.out*"))) == (choice == "tensorboard")


@pytest.mark.parametrize("choice", EXPERIMENTS)
def test_experiment_builds(choice: str, table: ClassTable) -> None:
    config = composed("train", f"experiment={choice}")
    sampler = instantiate(config.sampler, table=table, seed=config.seed, stream="train")
    built_objective(config, table)
    instantiate(config.augment)
    instantiate(config.classifier)
    optimizer = instantiate(config.optimizer, params=[torch.nn.Parameter(torch.ones(1))])
    steps = config.steps if config.epochs is None else config.epochs * sampler.steps_per_epoch
    schedule_for(config.scheduler, optimizer, steps, sampler.steps_per_epoch)
    streams = "_target_" in config.continual  # which have no validation between steps
    assert config.epochs is not None or streams or config.validation.every <= steps


@pytest.mark.parametrize("choice", sorted({*EXPERIMENTS} - {"none"}))
def test_experiment_has_its_row(choice: str) -> None:
    """What was measured with it, or why it was not."""
    rows = (CONF.parent / "REPRODUCIBILITY.md").read_text(encoding="utf-8")
    assert re.search(rf"(?<![\w/]){re.escape(choice)}(?![\w/])", rows)


@pytest.mark.parametrize("choice", EXPERIMENTS)
def test_experiment_sets_only_keys_that_exist(choice: str) -> None:
    """Hydra adds what a global file names and nobody reads, without a word."""
    written = yaml.safe_load((CONF / "experiment" / f"{choice}.yaml").read_text()) or {}
    defaults = written.pop("defaults", [])
    chosen = [f"{k.removeprefix('override /')}={v}" for entry in defaults for k, v in entry.items()]
    without = compose("train", overrides=chosen)
    assert [key for key in leaves(written) if key and not _has(without, key)] == []


def _has(config: DictConfig, key: str) -> bool:
    *parents, last = key.split(".")
    node = OmegaConf.select(config, ".".join(parents)) if parents else config
    return isinstance(node, DictConfig) and last in node


@pytest.mark.parametrize("name", TABLES)
def test_table_rows_compose(name: str, table: ClassTable) -> None:
    read = Table.read(CONF / "table" / f"{name}.yaml")
    assert read.cells
    evaluations = {words for cell in read.cells for words in cell.evaluate.values()}
    for words in evaluations:
        assert composed("eval", *words).episodes >= 10_000
    for cell in read.cells:
        if cell.seed != read.cells[0].seed:
            continue
        config = composed("train", *cell.words)
        assert config.seed == cell.seed
        built_objective(config, table)
