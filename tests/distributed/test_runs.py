"""Runs and evaluations that torchrun starts: one writer, the same results, stopped and resumed to the bit."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch
from launching import CHECKOUT, EVALUATIONS, Place, only

sys.path.insert(0, str(CHECKOUT / "tests" / "recipes"))
from programs import program, same


def test_one_process_writes_and_is_heard(place: Place) -> None:
    assert place.out.count("statuses [0, 0, 0, 0, 0, 2]") == 2
    assert place.out.count("run        ") == 3 and place.out.count("classifier ") == 1
    run = only(place.folder / "straight")
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "finished" and record["machine"]["processes"] == 2
    steps = [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted([*range(5, 121, 5), 60, 120])


def test_a_mistake_of_all_is_told_once(place: Place) -> None:
    lines = [line for line in place.err.splitlines() if "error:" in line]
    assert lines == [
        "error: sampler.episodes=1 cannot be shared by 2 processes: set sampler.episodes=2 or more"
    ]
    assert not (place.folder / "refused").exists()


@pytest.mark.parametrize("kind, arrays", [("few_shot", "episodes.npz"), ("retrieval", "queries.npz")])
def test_one_two_and_three_processes_have_one_result(place: Place, kind: str, arrays: str) -> None:
    run = only(place.folder / ("straight" if kind == "few_shot" else kind))
    program("eval.py", *EVALUATIONS[kind], f"run={run}", cwd=place.folder)
    (alone,) = (run / "eval").iterdir()
    for count in (2, 3):
        (shared,) = (run / f"eval by {count}").iterdir()
        with np.load(alone / arrays) as one, np.load(shared / arrays) as several:
            assert one.files == several.files
            for name in one.files:
                assert np.array_equal(one[name], several[name]), name
        one, several = (json.loads((where / "result.json").read_text()) for where in (alone, shared))
        for of_this_run in ("machine", "seconds", "config", "model"):
            one.pop(of_this_run, None), several.pop(of_this_run, None)
        assert one == several


def test_a_run_that_was_stopped_goes_on_to_the_same_bits(place: Place) -> None:
    assert place.stopped.count("stopped: stopped after step") == 1
    folder = place.folder
    run, straight = only(folder / "stopped"), only(folder / "straight")
    assert json.loads((folder / "for one" / "run.json").read_text())["status"] == "stopped"
    assert 0 < torch.load(folder / "for one" / "last.pt", weights_only=True)["outcome"]["steps"] < 120
    for name in ("last.pt", "best.pt"):
        ours, theirs = (torch.load(where / name, weights_only=True) for where in (run, straight))
        assert same(ours, theirs), name
    figures = [
        [
            {key: value for key, value in json.loads(line).items() if key != "seconds"}
            for line in (where / "metrics.jsonl").read_text().splitlines()
        ]
        for where in (run, straight)
    ]
    assert figures[0] == figures[1]


def test_a_run_of_two_processes_goes_on_in_one(place: Place) -> None:
    run = place.folder / "for one"
    program("train.py", f"resume={run}", cwd=place.folder)
    record = json.loads((run / "run.json").read_text())
    assert record["steps"] == 120 and record["machine"]["processes"] == 1
