"""`python -m fewshot report ...`, and the words that make a config again."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from fewshot.as_typed import typed
from fewshot.cli.command_of_config import command_line, words_and_differences
from fewshot.cli.conf_folder import ConfFolder, conf_path
from fewshot.cli.verbs import main

MISTAKES = {
    "": "report: needs the folder of a run: python -m fewshot report runs/RUN",
    "nowhere": "report: there is no folder nowhere",
    "empty": "report: empty is no run: it has neither config.yaml nor run.json nor results",
    "empty empty": "report: empty is named twice",
    "empty outptu=x": "report: there is no option outptu=x; did you mean 'output'?",
    "empty --verbose": "report: there is no option --verbose; the only option is output=DIR",
    "empty output=": "report: output= needs a folder: output=DIR",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_one_line_and_status_2(
    words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert main(["report", *words.split()]) == 2
    assert capsys.readouterr().err == f"error: {MISTAKES[words]}\n"
    assert [path.name for path in tmp_path.rglob("*")] == ["empty"]


def composed(*words: str) -> dict[str, Any]:
    """A config as a run saves it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with initialize_config_dir(str(conf_path()), version_base="1.3"):
            config = compose("train", overrides=list(words), return_hydra_config=True)
    chosen = config.hydra.runtime.choices
    choices = {group: name for group, name in chosen.items() if not group.startswith("hydra/")}
    config = OmegaConf.masked_copy(config, [key for key in config if key != "hydra"])
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    return {**{str(k): v for k, v in plain.items()}, "choices": choices}


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["loss=icnn", "loss.k=3", "steps=7", "name='a b'"],
        ["recipe=retrieval", "mixup=feature", "loss=proxy_anchor", "data=cub"],
        ["recipe=continual", "continual=er", "tasks=20", "scenario.shots=5"],
        ["experiment=protonet/miniimagenet_cpu", "seed=3"],
        ["experiment=prd/fscil_cifar100_cpu", "continual=nearest_mean"],
        ["loss=susana", "loss.terms=[cross_entropy,icnn_full]", "sampler.ways=20"],
        ["optimizer.betas=[0.5,0.9]", "training.clip_norm=1.5", "device=cuda:1", "init=runs/a_b"],
        ["backbone=timm", "backbone.name=test_resnet", "ways=20"],
    ],
)
def test_the_words_found_make_the_same_config(words: list[str]) -> None:
    config = composed(*words)
    found, differences = words_and_differences(config, ConfFolder.found())
    assert composed(*found) == config
    # As few as were typed (a quoted text may be written otherwise).
    assert len(found) == len(words)
    assert all(value != default for _, value, default in differences)


def test_of_several_choices_at_once_no_default_is_known() -> None:
    config = composed("tracking=[wandb,tensorboard]")
    assert words_and_differences(config, ConfFolder.found()) == (["tracking=[wandb,tensorboard]"], [])


def test_a_command_line_is_quoted_for_the_shell() -> None:
    assert command_line(["loss=icnn", "name='a b'"]) == "python train.py loss=icnn 'name='\"'\"'a b'\"'\"''"
    assert typed(None) == "null" and typed(True) == "true" and typed([1, "a"]) == "[1,a]"
    assert typed("a,b") == "'a,b'" and typed("it's") == "'it\\'s'" and typed(1e-5) == "1e-05"
