"""Continual learning through the command line: train, kill and resume, and every mistake on the way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from programs import only_run, program, same

from fewshot.continual.accuracy_matrix import read_matrices

ROOT = Path(__file__).resolve().parents[2]
SMALL = [
    "recipe=continual",
    "continual=finetune",
    "tasks=4",
    "scenario.classes=14",
    "threads=1",
    "precision=float32",
    "backbone.width=8",
    "head=none",
    "data.images_per_class=12",
    "sampler.batch=32",
    "optimizer.lr=0.03",
    "steps=25",
    "training.save_every=5",
]
FILES = ("accuracy.json", "accuracy_task_incremental.csv", "accuracy_class_incremental.csv")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working directory in which a few glyphs are packed and one run is finished."""
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("FEWSHOT_DATA", raising=False)
        program("train.py", *SMALL, "scenario.linear_probe=true", cwd=folder)
        yield folder


@pytest.fixture(scope="module")
def finished(place: Path) -> Path:
    return only_run(place / "runs")


def result(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "eval" / "continual" / "result.json").read_text()))


def test_a_run_leaves_its_matrices_measures_and_figures(finished: Path) -> None:
    assert {*FILES, "accuracy.png", "method.pt", "best.pt", "last.pt", "run.json"} <= {
        path.name for path in finished.iterdir()
    }
    record = json.loads((finished / "run.json").read_text())
    assert (record["recipe"], record["status"], record["steps"]) == ("continual", "finished", 100)
    saved = result(finished)
    assert saved["scenario"]["tasks"] == [4, 4, 3, 3] and saved["evaluated"] == "test"
    for kind, matrix in read_matrices(finished).items():
        assert saved[kind]["final_average"] == pytest.approx(matrix.accuracy[-1].mean())
        assert not np.isnan(matrix.accuracy[np.tri(4, dtype=bool)]).any()
    # Tasks of unequal size have a second mean; a linear head has an opinion on classes to come.
    assert {"final_average_by_images", "forward_transfer"} <= saved["task_incremental"].keys()
    assert saved["cost"]["images_seen"] == 25 * (32 + 32 + 30 + 30) and saved["cost"]["kept_bytes"] > 0
    assert (finished / "accuracy.png").read_bytes().startswith(b"\x89PNG")


def test_it_learns_and_forgets(finished: Path) -> None:
    saved = result(finished)
    til, cil = saved["task_incremental"], saved["class_incremental"]
    # Reaches 0.74 and 0.33 here; chance is 0.29.
    assert til["learning_accuracy"] > 0.5 and til["final_average"] > cil["final_average"]
    assert saved["linear_probe"]["mean"] > 0.5


def test_progress_is_told_by_task(finished: Path) -> None:
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    told = [(line["step"], line["task"]) for line in lines if "val/class_incremental" in line]
    assert told == [(25, 1), (50, 2), (75, 3), (100, 4)]


@pytest.mark.parametrize("after", [37, 52])
def test_a_killed_run_resumes_to_the_same_bits(
    place: Path, finished: Path, tmp_path: Path, after: int
) -> None:
    """37 lies within task 2; at 52 the newest checkpoint is that of step 50, between tasks 2 and 3."""
    words = [*SMALL, "scenario.linear_probe=true", f"output_dir={tmp_path}"]
    kill = (
        "import os, signal, sys\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "from fewshot.continual.stream import StreamFeed\n"
        "call = StreamFeed.__call__\n"
        "def killing(self, step):\n"
        f"    if step == {after}: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return call(self, step)\n"
        "StreamFeed.__call__ = killing\n"
        "from fewshot.cli.commands import train\n"
        f"sys.exit(train.run({words!r}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", kill], cwd=place, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=300
    )
    assert done.returncode == -signal.SIGKILL
    run = only_run(tmp_path)
    assert torch.load(run / "last.pt")["outcome"]["steps"] == after // 5 * 5
    program("train.py", f"resume={run}", cwd=place)
    for name in ("best.pt", "method.pt"):
        assert same(torch.load(run / name), torch.load(finished / name)), name
    for name in FILES:
        assert (run / name).read_bytes() == (finished / name).read_bytes()
    ours, theirs = result(run), result(finished)
    ours["cost"]["seconds"] = theirs["cost"]["seconds"] = 0
    assert ours == theirs


def test_validation_images_take_the_place_of_test_images(place: Path, tmp_path: Path, finished: Path) -> None:
    words = [*SMALL, "scenario.validation_share=0.3", "steps=2", f"output_dir={tmp_path}"]
    assert "measured   validation images" in program("train.py", *words, cwd=place).stdout
    saved = result(only_run(tmp_path))
    assert saved["evaluated"] == "validation"
    assert saved["scenario"]["sha256"] != result(finished)["scenario"]["sha256"]


def test_a_finished_run_is_measured_anew_to_the_same_figures(place: Path, finished: Path) -> None:
    done = program("eval.py", "evaluation=continual", f"run={finished}", "threads=1", cwd=place)
    assert f"run        {finished}" in done.stdout and "final average" in done.stdout
    again = json.loads((finished / "eval" / "continual-task_incremental" / "result.json").read_text())
    trained = result(finished)
    same_keys = ("task_incremental", "class_incremental", "linear_probe", "scenario", "evaluated")
    assert {key: again[key] for key in same_keys} == {key: trained[key] for key in same_keys}
    assert again["predict"] == "task_incremental" and again["cost"] == trained["cost"]
    # Weights that changed since are noticed: nothing of the last row is copied.
    content = torch.load(finished / "method.pt")
    content["method"]["classifier.weight"] = -content["method"]["classifier.weight"]
    other = finished.parent / "other"
    shutil.copytree(finished, other)
    torch.save(content, other / "method.pt")
    words = ["evaluation=continual", f"run={other}", "evaluation.predict=class_incremental", "threads=1"]
    program("eval.py", *words, cwd=place)
    worse = json.loads((other / "eval" / "continual-class_incremental" / "result.json").read_text())
    for damaged, says in (
        ({**content["method"], "classifier.weight": torch.zeros(2, 3)}, "does not fit the stream of its run"),
        ({**content["method"], "classifier.weight": 3}, "does not fit the stream of its run"),
        ([], "is damaged: 'method' is not there or no dict"),
    ):
        torch.save({**content, "method": damaged}, other / "method.pt")
        done = program("eval.py", *words, cwd=place, check=False)
        assert done.returncode == 2 and says in done.stderr.splitlines()[-1]
    shutil.rmtree(other)
    assert worse["task_incremental"]["final_average"] < trained["task_incremental"]["final_average"]
    assert worse["task_incremental"]["learning_accuracy"] != trained["task_incremental"]["learning_accuracy"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("part=val", "part=val: the run's scenario says which images are measured"),
        ("data=glyphs", "data: evaluation=continual measures the stream that a run learned; leave it out"),
        ("run=nowhere", "nowhere"),
        (
            "run=RUN/best.pt",
            "best.pt: evaluation=continual needs more of a run than one file: give its folder",
        ),
        ("batch=0", "batch=0 must be at least 1"),
        ("seed=3", "seed=3: evaluation=continual draws nothing and keeps no embeddings; leave it out"),
        ("shots=5", "shots=5: evaluation=continual has no episodes; leave it out"),
    ],
)
def test_a_mistake_of_an_evaluation_is_one_line(place: Path, finished: Path, words: str, says: str) -> None:
    words = words.replace("RUN", str(finished))
    given = [words] if words.startswith("run=") else [words, f"run={finished}"]
    done = program("eval.py", "evaluation=continual", *given, cwd=place, check=False)
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ") and says in last


def test_an_unfinished_stream_is_not_evaluated(place: Path, finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "run")
    path = tmp_path / "run" / "accuracy.json"
    content = json.loads(path.read_text())
    for kind in ("task_incremental", "class_incremental"):
        content[kind][2:] = [[None] * 4] * 2
    path.write_text(json.dumps(content))
    done = program("eval.py", "evaluation=continual", f"run={tmp_path / 'run'}", cwd=place, check=False)
    assert done.returncode == 2
    assert ": task 3 of 4 was not learned yet, so it cannot be evaluated" in done.stderr.splitlines()[-1]


def test_few_shot_sessions_have_their_table_and_figure(place: Path, tmp_path: Path) -> None:
    words = [
        "first_task=8",
        "scenario.shots=2",
        "scenario.first_length=40",
        "steps=6",
        f"output_dir={tmp_path}",
    ]
    out = program("train.py", *SMALL, *words, cwd=place).stdout
    run = only_run(tmp_path)
    sessions = result(run)["sessions"]
    assert sessions.keys() == {"all", "base", "new", "harmonic_mean"} and len(sessions["all"]) == 4
    assert sessions["new"][0] is None and "after session" in out
    assert (run / "eval" / "continual" / "sessions.png").read_bytes().startswith(b"\x89PNG")
    rows = (run / "eval" / "continual" / "sessions.csv").read_text().splitlines()
    assert rows[0] == "session,all,base,new,harmonic_mean" and rows[1].endswith(",,") and len(rows) == 5
    assert [float(value) for value in rows[4].split(",")[1:]] == [sessions[key][3] for key in sessions]
    assert torch.load(run / "last.pt")["outcome"]["steps"] == 40 + 3 * 6


@pytest.mark.parametrize("loss", ["icnn", "contrastive", "multi_similarity", "proxy_anchor"])
def test_any_loss_on_batches_takes_the_place_of_supcon(place: Path, tmp_path: Path, loss: str) -> None:
    """ICNN is of the first paper, the others of those that Metrix mixes."""
    small = [w for w in SMALL if not w.startswith(("continual=", "head=", "steps=", "tasks="))]
    words = ["continual=prd", f"loss={loss}", "head.widths=[16,8]", "steps=3", "tasks=2"]
    program("train.py", *small, *words, f"output_dir={tmp_path}", cwd=place)
    lines = [json.loads(line) for line in (only_run(tmp_path) / "metrics.jsonl").read_text().splitlines()]
    last = [line for line in lines if "train/relation" in line][-1]
    assert np.isfinite(last["train/contrastive"]) and last["train/relation"] > 0


def test_domains_of_folders_are_tasks(place: Path, tmp_path: Path) -> None:
    from PIL import Image

    draw = np.random.default_rng(0)
    for domain in ("art", "photo"):
        for number, name in enumerate(("cat", "dog")):
            folder = tmp_path / "images" / domain / name
            folder.mkdir(parents=True)
            for image in range(6):
                pixels = draw.integers(0, 60, (8, 8, 3)) + 120 * number
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{image}.png")
    words = [word for word in SMALL if not word.startswith(("data.", "scenario.", "tasks"))]
    data = ["data=folder", f"data.path={tmp_path / 'images'}", "data.size=16", "scenario.domains=true"]
    program("train.py", *words, *data, "steps=3", f"output_dir={tmp_path / 'runs'}", cwd=place)
    matrices = read_matrices(only_run(tmp_path / "runs"))
    assert matrices["task_incremental"].names == ("art", "photo")
    til, cil = (matrix.accuracy[np.tri(2, dtype=bool)] for matrix in matrices.values())
    assert (til == cil).all(), "all classes are in every task"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("tasks=15", "tasks=15, but there are 14 classes, and each task needs one"),
        ("tasks=0", "tasks=0 must be at least 1"),
        ("first_task=12", "first_task=12 of 14 classes leaves 2 for 3 further tasks"),
        ("class_order=random", "class_order=random must be one of natural, seeded"),
        ("scenario.classes=9999", "scenario.classes=9999 must be from 1 to"),
        ("scenario.test_share=1.5", "scenario.test_share=1.5 must be above 0 and below 1"),
        ("scenario.validation_share=1", "scenario.validation_share=1.0 must be at least 0 and below 1"),
        ("scenario.shots=50", "scenario.shots=50, but class"),
        ("scenario.schedule=weekly", "scenario.schedule=weekly must be task, first_task or stream"),
        ("scenario.first_length=0", "scenario.first_length=0 must be at least 1"),
        ("scenario.domains=true", "tasks=4: with scenario.domains=true each domain is a task; leave it out"),
        (
            "scenario.domains=true -tasks",
            "scenario.classes=14: with scenario.domains=true every task has all",
        ),
        (
            "scenario.domains=true scenario.shots=2 -tasks -scenario.classes",
            "scenario.shots=2: with scenario.domains=true no class is new after the first task; leave it out",
        ),
        ("steps=0", "steps=0 must be at least 1"),
        ("continual=none", "recipe=continual needs a method: choose continual=NAME"),
        ("training.ema=0.9", "training.ema: an average of weights over tasks is no method here"),
        ("sampler=episodes", "sampler EpisodeSampler: tasks come in plain batches"),
        ("data.images_per_class=1", "has one image to train on and to test on, and needs 2"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_run(place: Path, tmp_path: Path, words: str, says: str) -> None:
    """A word -KEY takes one of SMALL away."""
    without = [f"{word[1:]}=" for word in words.split() if word.startswith("-")]
    given = [word for word in words.split() if not word.startswith("-")]
    small = [word for word in SMALL if not word.startswith("sampler.") or words != "sampler=episodes"]
    small = [word for word in small if not word.startswith(tuple(without))]
    done = program("train.py", *small, *given, f"output_dir={tmp_path}", cwd=place, check=False)
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ") and says in last
    assert list(tmp_path.iterdir()) == []
