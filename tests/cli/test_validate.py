"""`validate`: a command checked and its parts built, and nothing trained, fetched or written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from fewshot.cli.commands.validate import _command
from fewshot.cli.verbs import main

SMALL = ["data.images_per_class=4", "data.size=16", "backbone.width=8", "shots=1", "queries=2"]


@pytest.fixture(scope="module")
def glyphs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of data, with small glyphs packed."""
    root = tmp_path_factory.mktemp("data")
    before = os.environ.get("FEWSHOT_DATA")
    os.environ["FEWSHOT_DATA"] = str(root)
    try:
        assert main(["data", "prepare", "glyphs", "images_per_class=4", "size=16"]) == 0
    finally:
        os.environ.pop("FEWSHOT_DATA") if before is None else os.environ.update(FEWSHOT_DATA=before)
    return root


@pytest.fixture(autouse=True)
def working(glyphs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEWSHOT_DATA", str(glyphs))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, str]:
    capsys.readouterr()
    assert main(["validate", *words]) == 0, capsys.readouterr().err
    return {line[:12].strip(): line[12:] for line in capsys.readouterr().out.splitlines()}


def mistake(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert main(["validate", *words]) == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_a_training_is_told_and_not_begun(capsys: pytest.CaptureFixture[str], working: Path) -> None:
    told = said(capsys, "loss=icnn", *SMALL, "steps=7", "validation.every=3")
    assert told["would"] == "train, recipe=few_shot"
    assert "ready: 3,828 images of 957 classes" in told["data"]
    assert told["classes"] == "trains on 552; chosen on 162 validation classes (5-way 1-shot)"
    # Conv4: four blocks of 3 x 3 convolutions without bias, with a scale and a shift of each channel.
    weights = 8 * 9 + 3 * 8 * 8 * 9 + 4 * 2 * 8
    biased = weights + 4 * 8
    assert told["model"] in (f"Conv4, {n:,} parameters, 1 x 16 px to 8 dimensions" for n in (weights, biased))
    assert told["steps"] == "7 of 15 images (105 in all); validates every 3 steps"
    assert told["writes"] == "runs/DATE_TIME_icnn_glyphs_XXXX/"
    assert list(working.iterdir()) == []


def test_retrieval_and_streams(capsys: pytest.CaptureFixture[str], working: Path) -> None:
    small = SMALL[:3]
    told = said(capsys, "recipe=retrieval", "loss=proxy_anchor", "mixup=feature", "memory=none", *small)
    assert "Recall@1" in told["classes"] and told["loss"].startswith("proxy_anchor, mixup=feature")
    told = said(capsys, "recipe=continual", "tasks=3", "steps=5", "scenario.validation_share=0.25", *small)
    assert told["classes"] == "957 in 3 tasks; measured on validation images"
    assert told["steps"] == "15 in all, 5 a task"
    assert list(working.iterdir()) == []


def test_what_is_not_packed_is_checked_as_far_as_it_goes(
    capsys: pytest.CaptureFixture[str], glyphs: Path
) -> None:
    before = sorted(glyphs.rglob("*"))
    assert "not packed yet" in said(capsys, "data.size=20")["data"]
    assert sorted(glyphs.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("losss=icnn", "unknown key 'losss'; did you mean 'loss'?"),
        ("tasks=3", "tasks=3: recipe=few_shot has no stream of tasks"),
        ("data=cub", "data=cub: not here; put into"),
        ("sampler.ways=600", "only 552 classes"),
        ("queries=9", "images"),
        ("recipe=retrieval loss=icnn", "draws no episodes: use sampler=episodes"),
        ("loss=icnn mixup=feature", "can"),
        ("recipe=continual continual=none", "needs a method"),
        ("optimizer.lr=-1", "Invalid learning rate"),
        ("steps=0", "steps=0 must be at least 1"),
        ("scheduler=step scheduler.step_size=0", "scheduler.step_size=0"),
        ("device=cuda:99", "CUDA devices"),
        ("output_dir=/dev/null/none", "no folder can be made in /dev/null"),
        ("init=runs/none", "there is no run or checkpoint runs/none"),
        ("resume=runs/none", "runs/none is no run"),
        ("backbone=torchvision backbone.weights=none.pt", "backbone.weights=none.pt: there is no such file"),
        ("eval run=runs/none", "there is no run or checkpoint"),
        ("eval", "there is no finished few_shot run"),
        ("predict query=photos", "support: needs a value"),
        ("predict support=photos query=photos", "query: there is no file or folder photos"),
        ("maml.inner_steps=3", "unknown key 'maml'; recipe=maml has it"),
        ("eval evaluation=continual", "there is no finished continual run"),
        ("-m hydra/sweeper=search seed=0,1", "draws its values as it goes"),
        ("-m seed=0,1 loss=icnn,nca loss.k=3", "loss.k"),
    ],
)
def test_what_would_keep_it_from_running_is_one_line(
    words: str, says: str, capsys: pytest.CaptureFixture[str], working: Path
) -> None:
    given = words.split()
    of_images = [] if "data=cub" in given else SMALL[:2]
    small = [*of_images, *([] if "recipe" in words else SMALL[3:])]
    typed = {word.partition("=")[0] for word in given}
    further = [word for word in small if word.partition("=")[0] not in typed]
    line = mistake(capsys, *given, *([] if given[0] in ("eval", "predict") or "resume" in words else further))
    assert line.startswith("error: ") and says in line
    assert list(working.iterdir()) == []


def test_every_run_of_a_multirun(capsys: pytest.CaptureFixture[str], working: Path) -> None:
    assert main(["validate", "-m", "loss=icnn,prototypical", "hydra/launcher=basic", *SMALL]) == 0
    out = capsys.readouterr().out
    assert out.count("would       train") == 2 and out.count("loss        icnn") == 1
    assert list(working.iterdir()) == []


def test_a_run_that_was_trained_and_its_evaluation(capsys: pytest.CaptureFixture[str], working: Path) -> None:
    words = [*SMALL, "steps=2", "validation.every=0", "threads=1", "name=one"]
    assert main(["train", *words]) == 0
    (run,) = (working / "runs").iterdir()
    before = sorted(working.rglob("*"))
    told = said(capsys, "eval.py", "shots=1", "queries=2", "threads=1")
    assert told["run"] == f"runs/{run.name}"
    task = "10,000 episodes, 5-way, 2 queries a class, 1-shot, of 243 test classes of glyphs"
    assert told["task"].startswith(task)
    assert "classes" in mistake(capsys, "eval.py", "ways=300", "shots=1", "queries=2")
    assert "retrieval among 972 images" in said(capsys, "eval", f"run={run}", "evaluation=retrieval")["task"]
    assert "that run is finished" in mistake(capsys, f"resume={run}")
    for name in ("mine/a/1.png", "mine/b/1.png"):
        (working / name).parent.mkdir(parents=True)
        Image.new("L", (20, 20)).save(working / name)
    told = said(capsys, "predict.py", "support=mine", "query=mine", "threads=1")
    assert (told["would"], told["support"]) == ("label 2 images", "2 classes, 2 images")
    assert told["model"].startswith(f"runs/{run.name}/")
    told = said(capsys, "predict", "support=mine", "query=mine", "backbone=timm", "backbone.name=test_resnet")
    assert told["model"] == "timm test_resnet, its published weights, which the first run fetches"
    (working / "other").mkdir()
    assert "no best.pt" in mistake(capsys, "eval", "run=other")
    made = {"other", "mine"}
    assert [path for path in sorted(working.rglob("*")) if not made & {*path.parts}] == before


@pytest.mark.parametrize(
    ("words", "program", "rest"),
    [
        ("loss=icnn", "train", "loss=icnn"),
        ("train loss=icnn", "train", "loss=icnn"),
        ("python train.py loss=icnn", "train", "loss=icnn"),
        ("/usr/bin/python3 -m fewshot eval shots=5", "eval", "shots=5"),
        ("python ./eval.py run=python", "eval", "run=python"),
        ("-m loss=a,b", "train", "-m loss=a,b"),
        ("eval.py -m shots=1,5", "eval", "-m shots=1,5"),
        ("predict.py query=photos", "predict", "query=photos"),
        ("", "train", ""),
    ],
)
def test_a_pasted_command_is_taken_apart(words: str, program: str, rest: str) -> None:
    found, left = _command(words.split())
    assert (found.name, left) == (program, rest.split())
