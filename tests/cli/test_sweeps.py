"""The sweep files of wandb: its own schema, its own arguments, its own agent, without its server."""

from __future__ import annotations

import json
import os
import re
import sys
import warnings
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from fewshot.cli.arguments import literal, parse
from fewshot.cli.check import check
from fewshot.cli.commands.train import PROGRAM
from fewshot.cli.conf_folder import ConfFolder
from fewshot.cli.verbs import main

wandb_agent = pytest.importorskip("wandb.wandb_agent")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its pydantic models are of another version
    sweeps = pytest.importorskip("sweeps")

CHECKOUT = Path(__file__).resolve().parents[2]
CONF = ConfFolder.found()
FILES = CONF.choices("sweep")


def loaded(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((CHECKOUT / "conf" / "sweep" / f"{name}.yaml").read_text()))


def drawn(config: dict[str, Any], **set_anew: Any) -> dict[str, Any]:
    """The first point that wandb's own code draws, as its server sends it to an agent."""
    # The server sends JSON, which knows no number of NumPy.
    point = json.loads(json.dumps(sweeps.next_run(config, []).config, default=float))
    return {**point, **{key.replace("__", "."): {"value": value} for key, value in set_anew.items()}}


class Recorder:
    """In place of a process: keeps the command that the agent would start."""

    commands: ClassVar[list[list[str]]] = []

    def __init__(self, command: list[str], **_: Any) -> None:
        self.commands.append(command)


@pytest.fixture(autouse=True)
def agents_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent sets variables of its own, and writes what it drew below its folder."""
    for name in ("WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH", "WANDB_DIR"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep")
    monkeypatch.setenv("WANDB_MODE", "offline")


def started(config: dict[str, Any], point: dict[str, Any]) -> Any:
    """What wandb's agent does with a point of a sweep: the process, or what stands for it."""
    agent = wandb_agent.Agent(None, None, sweep_id="sweep")
    agent._sweep_command = config["command"]
    response = agent._process_command(
        {"type": "run", "run_id": "abc123", "program": config["program"], "args": point}
    )
    assert "exception" not in response, response
    return agent._run_processes["abc123"]


def words_of(config: dict[str, Any], point: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The words after `train.py` of the command that the agent starts."""
    monkeypatch.setattr(Recorder, "commands", [])
    monkeypatch.setattr(wandb_agent, "AgentProcess", Recorder)
    started(config, point)
    (command,) = Recorder.commands
    assert command[:3] == ["/usr/bin/env", "python", "train.py"]
    return command[3:]


def test_the_three_sweeps_are_here() -> None:
    assert {"susana_ablation", "metrix", "prd"} <= set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_wandb_takes_the_file(name: str) -> None:
    config = loaded(name)
    assert sweeps.schema_violations_from_proposed_config(config) == []
    assert (CHECKOUT / config["program"]).is_file()
    assert config["command"][-1] == "${args_no_hyphens}"
    # The keys are compared as text: a YAML null would be rendered None, and 1e-5 is text.
    for key, parameter in config["parameters"].items():
        for value in [parameter.get("value"), *parameter.get("values", [])]:
            assert value is not None or "value" not in parameter, key
            assert not re.fullmatch(r"\d+e-?\d+", str(value)) or isinstance(value, float), key


@pytest.mark.parametrize("name", FILES)
def test_a_drawn_point_is_a_command_that_would_run(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = loaded(name)
    # The images of the experiments need not be here; glyphs are built in, and not packed in this folder.
    monkeypatch.setenv("FEWSHOT_DATA", str(tmp_path / "data"))
    words = words_of(config, drawn(config), monkeypatch)
    here = ["data=glyphs", "device=cpu", *(["~data.rotations"] if name == "metrix" else [])]
    assert main(["validate", config["program"], *words, *here]) == 0, capsys.readouterr().err
    assert "would       train" in capsys.readouterr().out


@pytest.mark.parametrize("name", FILES)
def test_every_value_is_accepted_as_wandb_writes_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All values of lists, and both ends of ranges, through the check of the arguments."""
    config = loaded(name)
    point = drawn(config)
    for key, parameter in config["parameters"].items():
        for value in [
            *parameter.get("values", []),
            *(parameter[end] for end in ("min", "max") if end in parameter),
        ]:
            words = words_of(config, {**point, key: {"value": value}}, monkeypatch)
            check(parse(words), CONF, PROGRAM.name, PROGRAM.schema)
            (word,) = [word for word in words if word.startswith(f"{key}=")]
            kind = float if isinstance(value, float) else type(literal(str(value)))
            assert isinstance(literal(word.partition("=")[2]), kind)


def test_the_metric_is_one_that_the_run_reports() -> None:
    """It stands in the summary of the tracker; a name that nobody logs would make the search blind."""
    from fewshot.continual.accuracy_matrix import KINDS
    from fewshot.recipes import few_shot, retrieval

    known = {
        *(f"val/{module.RECIPE.monitor}" for module in (few_shot, retrieval)),
        *(f"{kind}/final_average" for kind in KINDS),
    }
    for name in FILES:
        metric = loaded(name)["metric"]
        assert metric["name"] in known and metric["goal"] == "maximize"


def test_a_null_of_yaml_would_be_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why the files write "null": of None Hydra makes text."""
    config = loaded("metrix")
    words = words_of(config, {**drawn(config), "mixup.hardest": {"value": None}}, monkeypatch)
    assert "mixup.hardest=None" in words
    assert main(["validate", *words, "data=glyphs"]) == 2
    assert "mixup.hardest: expected" in capsys.readouterr().err


def test_the_agent_runs_a_point_for_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of the agent's own: the words as it renders them, tiny images and two steps."""
    monkeypatch.setenv("FEWSHOT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))
    monkeypatch.chdir(CHECKOUT)
    config = loaded("metrix")
    tiny = {
        "data": "glyphs",
        "experiment": "none",
        "recipe": "retrieval",
        "data__images_per_class": 4,
        "data__size": 16,
        "backbone__width": 8,
        "steps": 2,
        "validation__every": 2,
        "threads": 1,
        "output_dir": str(tmp_path / "runs"),
    }
    point = drawn(config, **tiny)
    process = started(config, point)
    assert process.wait(120) == 0
    (run,) = (tmp_path / "runs").iterdir()
    saved = yaml.safe_load((run / "config.yaml").read_text())
    for key in ("mixup.alpha", "mixup.weight", "optimizer.weight_decay"):
        group, option = key.split(".")
        assert saved[group][option] == pytest.approx(point[key]["value"])
    assert saved["mixup"]["hardest"] is None and saved["choices"]["loss"] == "contrastive"
    # The agent's run is the tracker's, or the search would wait for another.
    assert (run / "wandb_id.txt").read_text().strip() == "abc123"
    metric = config["metric"]["name"]
    assert json.loads((run / "summary.json").read_text())[metric] >= 0
    assert list(run.glob("wandb/offline-run-*"))
