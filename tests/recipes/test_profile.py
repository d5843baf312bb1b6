"""`python -m fewshot profile`: a run's own steps, measured and otherwise left as they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from omegaconf import DictConfig

from fewshot.cli.commands import profile as verb
from fewshot.cli.commands.train import PROGRAM
from fewshot.cli.launch import main as launch
from fewshot.cli.verbs import main
from fewshot.recipes import few_shot, profile
from fewshot.recipes.run_in_progress import start
from fewshot.recipes.training_data import training_data
from fewshot.recipes.training_parts import TrainingParts, training_parts
from fewshot.sampling.hard_classes import HardClasses
from fewshot.training.device import Machine
from fewshot.training.observation import NETWORK_BACKWARD, NETWORK_FORWARD, PHASES, Observation

SMALL = ["threads=1", "precision=float32", "backbone.width=8", "backbone.depth=3", "ways=3", "shots=2",
         "queries=4", "validation.episodes=20"]  # fmt: skip
MIXED = ["recipe=retrieval", "threads=1", "precision=float32", "backbone.width=8", "sampler.classes=4",
         "sampler.images=3"]  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory."""
    return tmp_path_factory.mktemp("profile")


@pytest.fixture
def quick(place: Path, packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In that directory, without measuring the machine."""
    monkeypatch.setenv("FEWSHOT_DATA", str(packed))
    monkeypatch.chdir(place)
    monkeypatch.setattr(profile, "matmul_rate", lambda machine: 1e11)
    monkeypatch.setattr(profile, "copy_rate", lambda machine: 1e10)


class Built(NamedTuple):
    parts: TrainingParts
    machine: Machine


def built(*words: str) -> Built:
    found: list[Built] = []

    def build(config: DictConfig) -> None:
        started = start(config)
        recipe = profile.RECIPES[config.recipe._target_]
        data = training_data(started.config, recipe.protocol, started.machine.device)
        found.append(Built(training_parts(started.config, data, started.machine), started.machine))

    assert launch(replace(PROGRAM, instead=build), words) == 0
    return found[0]


@pytest.mark.usefixtures("quick")
def test_prints_a_table_and_leaves_nothing(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(place.rglob("*"))
    assert main(["profile", *SMALL, "profile_steps=3"]) == 0
    out = capsys.readouterr().out
    for phase in PHASES:
        assert any(line.startswith(f"{phase} ") for line in out.splitlines()), out
    assert "18 images a step, 28 px" in out and "episodes/s" in out and "% of matmul" in out
    assert "outside the network's forward and backward: " in out
    assert sorted(place.rglob("*")) == before


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("mixup", ["none", "feature", "input", "embedding"])
def test_plain_batches_and_mixing(mixup: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", *MIXED, f"mixup={mixup}", "profile_steps=2", "profile_json=true"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["images"], found["episodes"]) == (12, 0)
    assert list(found["seconds"]) == list(PHASES)
    # Everything that multiplies is in the phase it belongs to.
    assert found["flops"]["data"] == found["flops"]["augment"] == found["flops"]["optimizer"] == 0
    passes = 4 if mixup == "input" else 1
    forward, backward = found["flops"]["network forward"], found["flops"]["network backward"]
    assert 1.5 * forward < backward < 2 * forward
    assert forward == pytest.approx(passes * _conv4(12, 8, 4)[0], rel=0.3 if mixup == "feature" else 0.05)


@pytest.mark.usefixtures("quick")
def test_looking_for_hard_classes_is_data(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(HardClasses, "due", lambda self, step: True)
    words = ["profile", *MIXED, "sampler=hard_classes", "sampler.group=2", "sampler.images_for_means=1"]
    assert main([*words, "profile_steps=2", "profile_json=true"]) == 0
    flops = json.loads(capsys.readouterr().out)["flops"]
    assert flops["data"] > 0 and flops[NETWORK_FORWARD] == pytest.approx(_conv4(12, 8, 4)[0], rel=0.05)


@pytest.mark.usefixtures("quick")
def test_phases_add_up_to_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock that ticks once a look: each phase has its own ticks, and together they are the step's."""
    ticks = iter(range(10**6))
    begins: list[float] = []
    began = Observation.began_step

    def noted(self: Observation) -> None:
        began(self)
        begins.append(self._last)

    monkeypatch.setattr(Observation, "began_step", noted)
    seen = profile.observe(*built(*SMALL), steps=4, read=lambda: next(ticks))
    assert len(seen.steps) == 4
    for step, begin, end in zip(seen.steps, begins, begins[1:], strict=False):
        assert sum(step.values()) == end - begin
        assert all(step[phase] > 0 for phase in PHASES)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("words", [SMALL, [*MIXED, "mixup=feature"]], ids=["episodes", "mixed"])
def test_watching_changes_nothing(words: list[str]) -> None:
    words = [*words, "augment=crop_flip"]
    watched, alone = built(*words), built(*words)
    profile.observe(*watched, steps=5, read=float)
    profile._train(alone.parts, alone.parts.feed, alone.machine, 6)
    a, b = (each.parts.objective.state_dict() for each in (watched, alone))
    assert all(torch.equal(a[key], b[key]) for key in b) and a.keys() == b.keys()
    # Nothing is left on what was watched.
    for module in watched.parts.objective.modules():
        assert not {"forward", "up_to", "from_stage"} & set(vars(module))
    assert not watched.parts.optimizer._optimizer_step_pre_hooks


def _conv4(images: int, width: int, depth: int) -> tuple[int, int]:
    """FLOPs of forward and backward, by hand; a multiply-add is two. No gradient goes to the images."""
    forward = backward = 0
    side, channels = 28, 1
    for block in range(depth):
        one = 2 * images * side * side * 9 * channels * width
        forward += one
        backward += one if block == 0 else 2 * one
        side, channels = side // 2, width
    return forward, backward


@pytest.mark.usefixtures("quick")
def test_flops_equal_those_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", *SMALL, "profile_steps=1", "profile_json=true"]) == 0
    flops = json.loads(capsys.readouterr().out)["flops"]
    assert (flops[NETWORK_FORWARD], flops[NETWORK_BACKWARD]) == _conv4(18, 8, 3)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["profile_steps=0"], "profile_steps=0 must be a whole number, at least 1"),
        (["profile_steps=many"], "profile_steps=many must be a whole number"),
        (["profile_step=3"], "profile_step=3: profile's own options are profile_steps, profile_json"),
        (["profile_json=yes"], "profile_json=yes must be true or false"),
        (["losss=icnn"], "unknown key 'losss'; did you mean 'loss'?"),
        (["-m", "seed=0,1"], "profile measures one run at a time"),
        (["resume=runs/RUN"], "profile begins anew: leave resume out"),
        (["compile=true"], "compile=true melts the phases of a step into one"),
        (["recipe=continual"], "profile measures recipe=few_shot and recipe=retrieval"),
        (["ways=1000"], "ways=1000"),
    ],
)
def test_mistakes(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", *words]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {says}") and err.count("\n") == 1


def test_examples_of_help_are_accepted() -> None:
    from fewshot.cli.arguments import parse
    from fewshot.cli.check import check
    from fewshot.cli.conf_folder import ConfFolder

    lines = [line for line in (verb.__doc__ or "").splitlines() if "fewshot profile" in line][1:]
    assert len(lines) > 5
    for line in lines:
        words = [word for word in line.split() if "=" in word and not word.startswith("profile_")]
        check(parse(words), ConfFolder.found(), PROGRAM.name, PROGRAM.schema)


def test_recipes_are_those_that_the_configs_name() -> None:
    assert profile.RECIPES["fewshot.recipes.few_shot.train"] is few_shot.RECIPE
    assert set(profile.RECIPES) == {f"fewshot.recipes.{name}.train" for name in ("few_shot", "retrieval")}


def test_ceilings_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    from fewshot.training import ceilings
    from fewshot.training.device import set_up

    monkeypatch.setattr(ceilings, "COPIED_BYTES", 2**20)
    monkeypatch.setattr(ceilings, "matrix_side", lambda machine: 64)
    measures: list[Callable[[Machine], float]] = [ceilings.matmul_rate, ceilings.copy_rate]
    for measure in measures:
        assert measure(set_up("cpu", "float32", None)) > 1e6
