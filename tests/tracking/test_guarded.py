from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from fewshot.tracking.guarded import GuardedTrackers, trackers
from fewshot.tracking.tracker import Tracker

CALLS: dict[str, Callable[[Tracker], None]] = {
    "config": lambda tracker: tracker.config({"a": 1}),
    "scalars": lambda tracker: tracker.scalars({"a": 1.0}, 1),
    "figure": lambda tracker: tracker.figure("f", Path("f.png"), 1),
    "table": lambda tracker: tracker.table("t", ["a"], [[1]]),
    "artifact": lambda tracker: tracker.artifact("x", Path("x")),
    "summary": lambda tracker: tracker.summary({"a": 1}),
    "close": lambda tracker: tracker.close(0),
}


class Recorder:
    """Notes every call, and fails at one."""

    def __init__(self, fails_at: str | None = None, error: BaseException | None = None) -> None:
        self.fails_at, self.error = fails_at, error or ConnectionError("the server is away\nand more")
        self.seen: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        def call(*_: object) -> None:
            self.seen.append(name)
            if name == self.fails_at:
                raise self.error

        return call


@pytest.mark.parametrize("fails_at", CALLS)
def test_a_failing_tracker_warns_once_and_the_others_hear_everything(
    fails_at: str, caplog: pytest.LogCaptureFixture
) -> None:
    before, failing, after = Recorder(), Recorder(fails_at), Recorder()
    guarded = GuardedTrackers({"before": lambda: before, "failing": lambda: failing, "after": lambda: after})
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            for name, call in CALLS.items():
                if name != "close":
                    call(guarded)
        guarded.close(1)
        guarded.scalars({"a": 1.0}, 9)  # after the end: nobody is told
    expected = [name for name in CALLS if name != "close"] * 2 + ["close"]
    assert before.seen == after.seen == expected
    # It is told nothing more, but may put away what it holds.
    heard = expected[: expected.index(fails_at) + 1]
    assert failing.seen == (heard if fails_at == "close" else [*heard, "close"])
    (record,) = caplog.records
    assert record.getMessage() == (
        f"tracking: failing failed ({fails_at}: ConnectionError: the server is away); "
        "the run goes on without it"
    )


def test_a_tracker_that_can_not_start_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    def missing() -> Tracker:
        raise ImportError("No module named 'wandb'")

    heard = Recorder()
    guarded = GuardedTrackers({"wandb": missing, "heard": lambda: heard})
    assert guarded.live == ("heard",)
    assert "wandb failed (start: ImportError: No module named 'wandb')" in caplog.text
    for call in CALLS.values():
        call(guarded)
    assert heard.seen == list(CALLS)
    assert len(caplog.records) == 1


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), SystemExit(3)])
def test_what_the_user_stops_is_no_failure(stop: BaseException) -> None:
    guarded = GuardedTrackers({"one": lambda: Recorder("scalars", stop)})
    with pytest.raises(type(stop)):
        guarded.scalars({"a": 1.0}, 1)


def test_jsonl_is_always_on_and_builders_get_the_run(tmp_path: Path) -> None:
    given: dict[str, object] = {}
    recorder = Recorder()

    def build(*, run_dir: Path, resume_step: int | None) -> Tracker:
        given.update(run_dir=run_dir, resume_step=resume_step)
        return recorder

    (tmp_path / "metrics.jsonl").write_text('{"step": 7}\n{"step": 8}\n')
    tracker = trackers(tmp_path, {"other": build}, resume_step=7)
    tracker.scalars({"a": 1.0}, 8)
    tracker.close(0)
    assert given == {"run_dir": tmp_path, "resume_step": 7}
    assert recorder.seen == ["scalars", "close"]
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"step": 7}, {"step": 8, "a": 1.0}]


def test_a_folder_that_can_not_be_written_costs_only_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = trackers(tmp_path / "absent", {})
    tracker.scalars({"a": 1.0}, 1)
    tracker.close(0)
    assert "jsonl failed (start: FileNotFoundError" in caplog.text
