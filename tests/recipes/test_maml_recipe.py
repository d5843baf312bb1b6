"""MAML and ANIL from the command line on glyphs, and what they say where something is missing."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from programs import only_run, program

from fewshot.evaluation.result_files import read_result
from fewshot.recipes.saved_result import read_values

needs_learn2learn = pytest.mark.skipif(
    importlib.util.find_spec("learn2learn") is None, reason="its algorithms train: make learn2learn"
)
QUICK = ("recipe=maml", "shots=1", "ways=3", "data.size=16", "data.images_per_class=8", "backbone.width=8")
QUICK += ("sampler.episodes=2", "queries=4", "validation.episodes=4", "output_dir=runs", "threads=1")
TESTED = ("ways=3", "queries=4", "episodes=6", "seed=1", "threads=1")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, glyphs_root: Path) -> Path:
    monkeypatch.setenv("FEWSHOT_DATA", str(glyphs_root))
    return tmp_path


@pytest.fixture(scope="module")
def glyphs_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@needs_learn2learn
@pytest.mark.parametrize("adapt", ["all", "head"])
def test_train_and_evaluate(adapt: str, here: Path) -> None:
    trained = program("train.py", *QUICK, f"maml.adapt={adapt}", "steps=4", "validation.every=2", cwd=here)
    run = only_run(here / "runs")
    name = {"all": "maml", "head": "anil"}[adapt]
    assert name in run.name and "evaluation=maml ways=3 shots=1" in trained.stdout
    assert json.loads((run / "run.json").read_text())["recipe"] == "maml"

    out = program("eval.py", "evaluation=maml", "shots=[1,2]", "report=true", *TESTED, cwd=here).stdout
    assert f"classifier {name}, 1 step at 0.4 on each support (transductive" in out
    (folder,) = (run / "eval").iterdir()
    saved = read_result(folder)
    assert saved.summary["transductive"] and saved.summary["classifier"] == name
    assert saved.summary["adaptation"]["adapt"] == adapt
    assert saved.predictions.shape == (2, 6, 3, 4)
    page = (run / "report.html").read_text()
    assert "not written" not in out and name in page and "Calibration" in page

    words = ("evaluation.statistics=support", "evaluation.inner_steps=2")
    out = program("eval.py", "evaluation=maml", "shots=2", *words, *TESTED, cwd=here).stdout
    assert "2 steps" in out and "transductive" not in out

    # A classifier on the features below the head faces the same episodes: the results pair.
    program("eval.py", f"run={run}", "shots=2", *TESTED, cwd=here)
    values = [read_values(path.parent) for path in (run / "eval").glob("*/result.json")]
    assert len({one.ground for one in values}) == 1 and len({one.how for one in values}) == 3
    assert all(np.isfinite(one.figures["2-shot"]).all() for one in values)


@needs_learn2learn
def test_a_validation_leaves_the_training_as_it_is(here: Path) -> None:
    import torch

    program("train.py", *QUICK, "steps=4", "validation.every=0", "name=straight", cwd=here)
    straight = only_run(here / "runs")
    broken = here / "broken"
    program(
        "train.py", *QUICK, "steps=4", "validation.every=2", "name=other", f"output_dir={broken}", cwd=here
    )
    ours = torch.load(straight / "last.pt", weights_only=True)["objective"]
    theirs = torch.load(only_run(broken) / "last.pt", weights_only=True)["objective"]
    assert ours.keys() == theirs.keys()
    # A validation between steps adapts copies and leaves weights and running statistics alone.
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.parametrize(
    "words,said",
    [
        (("loss=icnn",), "recipe=maml trains the adapted network's own cross-entropy"),
        (("maml.adapt=tail",), "maml.adapt=tail must be all"),
        (("maml.inner_stepss=2",), "inner_steps"),
        (("sampler=shuffled",), "sampler=shuffled: recipe=maml adapts to episodes"),
        (("sampler.ways=4",), "sampler.ways=4 ways=3: recipe=maml adapts a classifier"),
        (("adapt=lora",), "adapt=lora: recipe=maml adapts every weight"),
        (("compile=true",), "compile=true: torch compiles no gradient of a gradient"),
        (("training.freeze_batchnorm=true",), "normalises by the images of each episode"),
    ],
)
def test_mistakes_are_one_line(words: tuple[str, ...], said: str, here: Path) -> None:
    done = program("train.py", *QUICK, *words, "steps=1", "validation.every=0", cwd=here, check=False)
    assert done.returncode == 2 and said in done.stderr and done.stderr.strip().count("\n") <= 1


def test_without_the_package_one_line_says_what_installs_it(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "learn2learn", None)
    done = program("train.py", *QUICK, "steps=1", "validation.every=0", cwd=here, check=False)
    assert done.returncode == 2 and "run `make learn2learn`" in done.stderr
    assert not list((here / "runs").glob("*/best.pt"))


def test_nothing_else_imports_it() -> None:
    import subprocess

    imports = "import fewshot.recipes.maml, fewshot.recipes.plan, fewshot.data.sources.learn2learn, sys"
    code = f"{imports}; sys.exit('learn2learn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@needs_learn2learn
def test_an_evaluation_of_another_recipe_is_refused(here: Path) -> None:
    words = [word for word in QUICK if word != "recipe=maml"]
    program("train.py", *words, "steps=1", "validation.every=0", cwd=here)
    run = only_run(here / "runs")
    done = program("eval.py", f"run={run}", "evaluation=maml", "shots=1", *TESTED, cwd=here, check=False)
    assert done.returncode == 2 and "is for a run of recipe=maml" in done.stderr
