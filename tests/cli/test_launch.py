"""What must keep working: Hydra's grammar, flags, multirun, experiments, further conf folders."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from laboratory_project import Laboratory

ACCEPTED: dict[str, dict[str, Any]] = {
    "": {"ways": 5, "loss.temperature": 1.0, "choices.loss": "prototypical"},
    "data=cub data.size=32": {"data.size": 32, "choices.data": "cub"},
    "loss=icnn loss.k=8": {"loss.k": 8, "choices.loss": "icnn"},
    "loss='icnn'": {"loss.k": 4},
    "rate=1": {"rate": 1.0},
    "rate=1e-3": {"rate": 0.001},
    "name=3": {"name": "3"},
    "name='a=b, c'": {"name": "a=b, c"},
    "shots=[1,5]": {"shots": [1, 5]},
    "ways=20 sampler.ways=30": {"ways": 20, "sampler.ways": 30},
    "shots=${ways}": {"shots": 5, "sampler.shots": 5},
    "experiment=paper": {"ways": 20, "loss.k": 7, "choices.loss": "icnn", "choices.experiment": "paper"},
    "experiment=paper loss.variant=support": {"loss.variant": "support"},
    "experiment=paper loss=prototypical ~loss.k": {"loss.temperature": 1.0},
    "+extra.depth=2": {"extra.depth": 2},
    "++loss.temperature=2": {"loss.temperature": 2},
    "+table={a:1,b:[x,y]}": {"table.a": 1},
    "~loss.temperature": {"loss": {"_target_": "laboratory.Prototypical"}},
    "hydra.verbose=false": {"ways": 5},
    "hydra/launcher=basic": {"ways": 5},
}


@pytest.mark.parametrize("words", ACCEPTED)
def test_recipe_gets_the_config(words: str, laboratory: Laboratory) -> None:
    from omegaconf import OmegaConf

    assert laboratory.run(*(words.split() if "c'" not in words else [words])) == 0

    (config,) = laboratory.calls
    for key, value in ACCEPTED[words].items():
        assert OmegaConf.select(config, key) == value, key
        assert type(OmegaConf.select(config, key)) is type(value) or isinstance(value, (list, dict))
    assert "trust" not in config and "hydra" not in config
    assert list(laboratory.folder.iterdir()) == []


def test_group_without_a_choice_is_null(laboratory: Laboratory) -> None:
    assert laboratory.run() == 0
    (config,) = laboratory.calls
    assert config.data is None and config.choices.data is None  # type: ignore[attr-defined]
    assert set(config.choices) == {"recipe", "loss", "sampler", "data", "experiment"}  # type: ignore[attr-defined]


def test_multirun_calls_the_recipe_for_each_choice(laboratory: Laboratory) -> None:
    assert laboratory.run("loss=icnn,prototypical", "-m", "ways=2,3") == 0

    ran = [(config.choices.loss, config.ways) for config in laboratory.calls]  # type: ignore[attr-defined]
    assert ran == [("icnn", 2), ("icnn", 3), ("prototypical", 2), ("prototypical", 3)]
    # One folder says what was swept over; runs make their own.
    (sweep,) = (laboratory.folder / "runs").iterdir()
    assert [path.name for path in sweep.iterdir()] == ["multirun.yaml"]


def test_multirun_checks_options_of_a_swept_group_at_the_job(
    laboratory: Laboratory, capsys: pytest.CaptureFixture[str]
) -> None:
    assert laboratory.run("-m", "loss=icnn,prototypical", "loss.k=2") == 2
    errors = capsys.readouterr().err
    assert "Traceback" not in errors and errors.splitlines()[-1].startswith(
        "error: Could not override 'loss.k'"
    )


def test_multirun_names_the_job_that_failed(
    laboratory: Laboratory, capsys: pytest.CaptureFixture[str]
) -> None:
    assert laboratory.run("-m", "name=mistake,good") == 2
    errors = capsys.readouterr().err.splitlines()
    assert "name=mistake" in errors[-2] and errors[-1].startswith("error: class a")
    assert len(laboratory.calls) == 2


@pytest.mark.parametrize("choice", ["choice(icnn,prototypical)", "glob(*)"])
def test_sweep_functions(choice: str, laboratory: Laboratory) -> None:
    assert laboratory.run("-m", f"loss={choice}", "ways=range(2,4)") == 0
    assert len(laboratory.calls) == 4


def test_show_config_runs_nothing(laboratory: Laboratory, capsys: pytest.CaptureFixture[str]) -> None:
    assert laboratory.run("--cfg", "job", "loss=icnn", "--resolve") == 0
    output = capsys.readouterr().out
    assert "k: 4" in output and "ways: 5" in output
    assert laboratory.calls == [] and list(laboratory.folder.iterdir()) == []


def test_info_runs_nothing(laboratory: Laboratory, capsys: pytest.CaptureFixture[str]) -> None:
    assert laboratory.run("loss=icnn", "--info", "defaults") == 0
    assert "loss/icnn" in capsys.readouterr().out
    assert laboratory.calls == []


def test_further_conf_folder(laboratory: Laboratory) -> None:
    own = laboratory.folder / "mine" / "loss"
    own.mkdir(parents=True)
    (own / "other.yaml").write_text("_target_: laboratory.ICNN\nk: 9\n")

    assert laboratory.run("--config-dir", "mine", "loss=other", "loss.k=10") == 0
    assert laboratory.calls[0].loss.k == 10  # type: ignore[attr-defined]


def test_command_line_is_left_as_it_was(laboratory: Laboratory) -> None:
    before = list(sys.argv)
    laboratory.run("loss=icnn")
    assert sys.argv == before


def test_help_shows_choices_keys_and_options(
    laboratory: Laboratory, capsys: pytest.CaptureFixture[str]
) -> None:
    assert laboratory.run("--help", "loss=icnn") == 0
    output = capsys.readouterr().out
    for line in (
        "[icnn]  prototypical",
        "ways=5                classes in an episode",
        "validation.every=250  steps",
        "loss=icnn: Nearest neighbours.",
        "loss.k=4           neighbours",
    ):
        assert line in output, line
    assert "search" not in output.split("Keys")[0].replace("sweep", "")
    assert laboratory.calls == []


def test_version(laboratory: Laboratory, capsys: pytest.CaptureFixture[str]) -> None:
    import fewshot

    assert laboratory.run("--version") == 0
    assert capsys.readouterr().out == f"fewshot {fewshot.__version__}\n"
