"""The real programs with the real conf folder, as a person starts them."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import time
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import get_type_hints

import pytest

from fewshot.annotations import convert
from fewshot.cli.arguments import parse
from fewshot.cli.check import annotation_at, check
from fewshot.cli.commands.eval import PROGRAM as EVAL
from fewshot.cli.commands.predict import PROGRAM as PREDICT
from fewshot.cli.commands.train import PROGRAM as TRAIN
from fewshot.cli.conf_folder import ConfFolder
from fewshot.cli.preview import preview
from fewshot.cli.program import Program
from fewshot.cli.verbs import about, main, verbs
from fewshot.errors import InputError

CHECKOUT = Path(__file__).resolve().parents[2]


def start(*words: str, folder: Path = CHECKOUT) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    environment.pop("FEWSHOT_TRACEBACK", None)
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )


def test_mistake_ends_with_status_2_and_leaves_nothing(tmp_path: Path) -> None:
    done = start(str(CHECKOUT / "train.py"), "losss=icnn", folder=tmp_path)
    expected = "error: unknown key 'losss'; did you mean 'loss'?\n"
    assert (done.returncode, done.stderr, done.stdout) == (2, expected, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("script", ["train.py", "eval.py", "predict.py"])
def test_help_imports_nothing_heavy(script: str, tmp_path: Path) -> None:
    code = (
        "import runpy, sys\n"
        f"sys.argv = [{script!r}, '--help']\n"
        "try:\n"
        f"    runpy.run_path({str(CHECKOUT / script)!r}, run_name='__main__')\n"
        "except SystemExit as ending:\n"
        "    assert ending.code == 0\n"
        "heavy = {'torch', 'timm', 'numpy', 'hydra', 'omegaconf', 'wandb'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    began = time.monotonic()
    done = start("-c", code, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    # 0.15 s on a quiet core; the bound leaves room for a busy machine.
    assert time.monotonic() - began < 3
    assert f"python {script} KEY=VALUE" in done.stdout


def test_as_typed_from_any_directory(tmp_path: Path) -> None:
    done = start(
        str(CHECKOUT / "train.py"), "loss=icnn", "data=miniimagenet", "--cfg", "job", folder=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "_target_: fewshot.losses.ICNN" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_reader_that_goes_away_is_no_error() -> None:
    shell = f"{sys.executable} -m fewshot train --help | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shell], cwd=CHECKOUT, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    # The text may fit the pipe before its reader leaves.
    assert done.stdout.splitlines()[1] in ("0", "141")


@pytest.mark.parametrize("program", [TRAIN, EVAL, PREDICT], ids=lambda p: p.name)
def test_schema_and_yaml_name_the_same_keys(program: Program) -> None:
    values = {k: v for k, v in ConfFolder.found().load(program.name).items() if k != "defaults"}
    assert _shape(values) == _shape_of(program.schema)
    for key, value in values.items():
        if not isinstance(value, dict):
            convert(value, annotation_at(program.schema, key))


def _shape(values: dict[str, object]) -> dict[str, object]:
    return {key: _shape(value) if isinstance(value, dict) else None for key, value in values.items()}


def _shape_of(schema: type) -> dict[str, object]:
    hints = get_type_hints(schema)
    return {f.name: _shape_of(hints[f.name]) if is_dataclass(hints[f.name]) else None for f in fields(schema)}


@pytest.mark.parametrize("program", [TRAIN, EVAL, PREDICT], ids=lambda p: p.name)
def test_examples_of_help_are_accepted(program: Program) -> None:
    for words, _ in program.examples:
        check(parse(words.split()), ConfFolder.found(), program.name, program.schema)


def test_each_default_choice_has_its_file() -> None:
    conf = ConfFolder.found()
    for program in (TRAIN, EVAL, PREDICT):
        for group, choice in preview(conf, program.name, {}).choices.items():
            assert choice is None or choice in conf.choices(group), f"{program.name}: {group}={choice}"


def test_preview_equals_what_hydra_composes() -> None:
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    conf = ConfFolder.found()
    choices = {group: conf.choices(group) for group in preview(conf, "train", {}).choices}
    with initialize_config_dir(str(CHECKOUT / "conf"), version_base="1.3"):
        for i in range(max(map(len, choices.values()))):
            chosen = {group: names[i % len(names)] for group, names in choices.items()}
            seen = preview(conf, "train", chosen)
            words = [f"{group}={name}" for group, name in chosen.items()]
            composed = OmegaConf.to_container(compose("train", words))
            for path in seen.open:
                *above, last = path.split(".")
                functools.reduce(lambda node, key: node[key], above, composed).pop(last)  # type: ignore
            assert seen.values == composed, words


@pytest.mark.parametrize(
    "words,expected",
    [
        ("recipe=retrieval", {"sampler": "classes_by_images", "loss": "contrastive", "head": "linear"}),
        ("recipe=retrieval sampler=shuffled loss=nca", {"sampler": "shuffled", "loss": "nca"}),
        ("experiment=susana/conv4 recipe=retrieval", {"sampler": "classes_by_images", "loss": "susana"}),
        ("recipe=few_shot", {"sampler": "episodes", "loss": "prototypical", "head": "none"}),
    ],
)
def test_a_recipe_chooses_parts_and_gives_way_to_experiments_and_to_what_was_typed(
    words: str, expected: dict[str, str]
) -> None:
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    chosen = dict(word.split("=") for word in words.split())
    seen = preview(ConfFolder.found(), "train", chosen)
    assert {group: seen.choices[group] for group in expected} == expected
    with initialize_config_dir(str(CHECKOUT / "conf"), version_base="1.3"):
        composed = OmegaConf.to_container(compose("train", words.split()))
    assert isinstance(composed, dict)
    for group in ("sampler", "loss", "head", "recipe"):
        assert seen.values[group] == composed[group], group


def test_options_of_what_a_recipe_chose_are_known() -> None:
    conf = ConfFolder.found()
    check(parse(["recipe=retrieval", "sampler.classes=8"]), conf, "train", TRAIN.schema)
    with pytest.raises(InputError, match="sampler=classes_by_images has no option 'ways'"):
        check(parse(["recipe=retrieval", "sampler.ways=8"]), conf, "train", TRAIN.schema)


def test_verbs_list_themselves(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    output = capsys.readouterr().out
    for verb in verbs():
        assert f"\n  {verb} " in output and about(verb).splitlines()[0] in output


def test_verb_mistakes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trian"]) == 2
    assert capsys.readouterr().err.endswith("did you mean 'train'?\n")
    assert main(["train", "losss=icnn"]) == 2
    assert capsys.readouterr().err == "error: unknown key 'losss'; did you mean 'loss'?\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("tasks=5", "tasks=5: recipe=few_shot has no stream of tasks; add recipe=continual"),
        ("continual=finetune", "continual=finetune: recipe=few_shot has no stream of tasks"),
        ("recipe=retrieval scenario.shots=5", "scenario.shots=5: recipe=retrieval has no stream of tasks"),
        ("recipe=continual shots=5", "shots=5: recipe=continual makes no use of it; leave it out"),
        ("recipe=continual mixup=feature", "mixup=feature: recipe=continual makes no use of it"),
        ("recipe=continual continual=ewc loss=icnn", "loss=icnn: continual=ewc has a loss of its own"),
        (
            "recipe=continual continual=ewc loss.temperature=1",
            "loss.temperature=1: continual=ewc has a loss of its own",
        ),
        ("recipe=continual tasks=2 scenario.domains=true", "tasks=2: with scenario.domains=true each domain"),
        ("recipe=continual validation.every=5", "validation.every=5: recipe=continual makes no use of it"),
        ("recipe=continual tasks=x", "tasks: expected int, got 'x'"),
        ("recipe=continual continual=pdr", "there is no continual=pdr; the choices are"),
    ],
)
def test_keys_of_streams_and_of_other_recipes_are_kept_apart(words: str, says: str) -> None:
    arguments = parse(words.split())
    with pytest.raises(InputError) as caught:
        check(arguments, ConfFolder.found(), TRAIN.name, TRAIN.schema)
    assert str(caught.value).startswith(says)


def test_recipe_continual_takes_its_own_keys() -> None:
    words = ["recipe=continual", "continual=finetune", "tasks=3", "first_task=4", "scenario.shots=1"]
    assert (
        check(parse(words), ConfFolder.found(), TRAIN.name, TRAIN.schema).choices["continual"] == "finetune"
    )
