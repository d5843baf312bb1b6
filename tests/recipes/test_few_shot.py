"""The main job through the command line: train, evaluate, kill, resume, and every mistake on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from programs import only_run, program, same

from fewshot.errors import InputError
from fewshot.recipes.run_in_progress import start
from fewshot.training import checkpoint

ROOT = Path(__file__).resolve().parents[2]
SMALL = [
    "threads=1",
    "precision=float32",
    "backbone.width=16",
    "validation.episodes=50",
    "validation.every=20",
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, packed: Path) -> Iterator[Path]:
    """A working directory in which glyphs are packed and one run is finished."""
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEWSHOT_DATA", str(packed))
        program("train.py", *SMALL, "steps=120", "training.save_every=10", cwd=folder)
        yield folder


def test_training_leaves_what_it_says(place: Path) -> None:
    run = only_run(place / "runs")
    assert {"config.yaml", "metrics.jsonl", "last.pt", "best.pt", "run.json"} <= {
        p.name for p in run.iterdir()
    }
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "finished" and record["steps"] == 120
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    validated = [line for line in lines if "val/accuracy" in line]
    assert [line["step"] for line in validated] == [20, 40, 60, 80, 100, 120]
    assert max(line["val/accuracy"] for line in validated) == record["best"]
    assert validated[-1]["val/accuracy"] > validated[0]["val/accuracy"] > 0.3


def test_evaluation_without_arguments_takes_the_newest_run(place: Path) -> None:
    out = program("eval.py", "episodes=200", "shots=[1,5]", cwd=place).stdout
    run = only_run(place / "runs")
    assert run.name in out and "unseen classes of the data it was trained on" in out
    (result,) = run.glob("eval/*1-5s*/result.json")
    summary = json.loads(result.read_text())
    one, five = summary["curve"]
    # 16 filters and 120 steps reach 76 / 90 here; a broken path stays near the 20 of chance.
    assert 0.6 < one["accuracy"] < five["accuracy"] and five["accuracy"] > 0.75
    with np.load(result.parent / "episodes.npz") as file:
        accuracies = file["accuracies"]
    assert accuracies.shape == (2, 200)
    assert five["interval"] == pytest.approx(1.96 * accuracies[1].std(ddof=1) / 200**0.5)
    assert f"{100 * five['accuracy']:.2f} +- {100 * five['interval']:.2f} %" in out


@pytest.mark.parametrize("classifier", ["cl2n", "cosine", "knn", "logistic", "ridge"])
def test_each_classifier_evaluates_a_run(place: Path, classifier: str) -> None:
    program("eval.py", "episodes=50", f"classifier={classifier}", cwd=place)
    (result,) = only_run(place / "runs").glob(f"eval/*_{classifier}_*/result.json")
    assert json.loads(result.read_text())["accuracy"] > 0.6


def test_evaluation_is_the_same_twice_and_from_the_cache(place: Path) -> None:
    words = ["episodes=60", "seed=3", "queries=5"]
    run = only_run(place / "runs")
    seen = []
    for cache in ("false", "true", "true"):
        program("eval.py", *words, f"cache={cache}", cwd=place)
        (result,) = run.glob("eval/*5q*seed3/episodes.npz")
        with np.load(result) as file:
            seen.append(file["predictions"].copy())
    assert (seen[0] == seen[1]).all() and (seen[0] == seen[2]).all()


def test_a_finished_run_is_not_resumed(place: Path) -> None:
    run = only_run(place / "runs")
    before = (run / "run.json").read_bytes()
    for given, message in ((run, "is finished"), (run / "best.pt", "give the folder")):
        done = program("train.py", f"resume={given}", cwd=place, check=False)
        assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1
    assert (run / "run.json").read_bytes() == before


@pytest.mark.parametrize("outcome", [None, {}, {"steps": "3"}])
def test_what_is_no_state_of_a_training_is_not_resumed(tmp_path: Path, outcome: object) -> None:
    (tmp_path / "config.yaml").write_text("recipe: few_shot\ndata: glyphs\n")
    checkpoint.save(tmp_path / "last.pt", {"outcome": outcome})
    with pytest.raises(InputError, match=r"its last\.pt is not the state of a training"):
        start(OmegaConf.create({"resume": str(tmp_path), "device": "cpu", "threads": None}))


def test_init_starts_from_a_runs_backbone(place: Path, tmp_path: Path) -> None:
    run = only_run(place / "runs")
    words = [
        *SMALL,
        "steps=1",
        "validation.every=1",
        "optimizer.lr=0.0",
        f"init={run}",
        f"output_dir={tmp_path}",
    ]
    program("train.py", *words, cwd=place)
    started, before = (torch.load(r / "best.pt")["embedder"] for r in (only_run(tmp_path), run))
    name = "backbone.stages.block1.conv.weight"
    assert torch.equal(started[name], before[name])
    other = program("train.py", *words, "backbone.width=8", cwd=place, check=False)
    assert other.returncode == 2 and other.stderr.count("\n") == 1 and "init=" in other.stderr


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_run_resumes_to_the_same_bits(place: Path, tmp_path: Path, stop: signal.Signals) -> None:
    words = [*SMALL, "steps=120", "training.save_every=10", f"output_dir={tmp_path}"]
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *words],
        cwd=place,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("*/last.pt")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(stop)
    stderr = process.communicate()[1]
    run = only_run(tmp_path)
    stopped_at = torch.load(run / "last.pt")["outcome"]["steps"]
    assert 0 < stopped_at < 120, "the run was over before it was stopped"
    if stop is signal.SIGTERM:
        assert process.returncode == 143 and f"stopped after step {stopped_at} of 120" in stderr
        assert json.loads((run / "run.json").read_text())["status"] == "stopped"
    program("train.py", f"resume={run}", cwd=place)
    straight = only_run(place / "runs")
    for name in ("last.pt", "best.pt"):
        assert same(torch.load(run / name), torch.load(straight / name)), name
    figures = []
    for folder in (run, straight):
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        figures.append([{k: v for k, v in line.items() if k != "seconds"} for line in lines])
    assert figures[0] == figures[1]


@pytest.mark.parametrize(
    "words,message",
    [
        (["ways=400"], "ways=400, but there are only"),
        (["sampler.queries=30"], "needs 35"),
        (["sampler=shuffled"], "use sampler=episodes"),
        (["data=cub"], "CUB_200_2011"),
        (["resume=nowhere"], "nowhere"),
        (["init=nowhere"], "nowhere"),
        (["device=cuda:9"], "device=cuda:9"),
        (["precision=half"], "precision"),
        (["output_dir=/proc/nowhere"], "/proc/nowhere"),
        (["resume=nowhere", "steps=3"], "steps=3"),
        (["backbone.width=0"], "backbone: "),
        (["head=linear", "head.dim=0"], "dim=0"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    place: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    made = tmp_path / "runs"
    output = (
        []
        if any(word.startswith("output_dir") or word == "steps=3" for word in words)
        else [f"output_dir={made}"]
    )
    if words[0].startswith("resume"):
        output = []
    done = program("train.py", *words, *output, cwd=place, check=False)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not made.exists() or not list(made.iterdir())


@pytest.mark.parametrize(
    "words,message",
    [
        (["run=nowhere"], "nowhere"),
        (["part=testt"], "part"),
        (["shots=0"], "shots=0"),
        (["shots=[]"], "shots"),
        (["ways=300"], "ways=300"),
        (["output_dir=empty"], "no finished few_shot run below empty"),
        (["episodes=0"], "episodes"),
        (["batch=0"], "batch"),
    ],
)
def test_a_mistake_in_evaluation_is_one_line(place: Path, words: list[str], message: str) -> None:
    done = program("eval.py", *words, cwd=place, check=False)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_a_damaged_model_is_named(place: Path, tmp_path: Path) -> None:
    broken = tmp_path / "best.pt"
    broken.write_bytes((only_run(place / "runs") / "best.pt").read_bytes()[:5000])
    done = program("eval.py", f"run={broken}", cwd=place, check=False)
    assert done.returncode == 2 and str(broken) in done.stderr and len(done.stderr.strip().splitlines()) == 1
