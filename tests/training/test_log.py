"""Lines written late are the lines written at once, and wait for nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from test_loop import Lines, Toy, run
from torch import nn
from torch.optim import SGD

from fewshot.errors import InputError
from fewshot.training import loop
from fewshot.training.guard import StepGuard
from fewshot.training.log import Log, ReadBack
from fewshot.training.window import Window


class LateLog(Log):
    def __init__(self, *arguments: Any, late: bool) -> None:
        super().__init__(*arguments, late=True)


def guard(abort_after: int = 3) -> StepGuard:
    return StepGuard(nn.Linear(1, 1), abort_after, torch.device("cpu"))


def window(*losses: float) -> Window:
    made = Window()
    for loss in losses:
        made.add({"loss": torch.tensor(loss)})
    return made


def test_a_line_has_the_means_and_what_the_host_knows() -> None:
    lines = Lines()
    log = Log(lines, guard(), late=False)
    log.line(4, window(1.0, 2.0), {"train/lr": 0.1})
    assert lines.lines == [(4, {"train/loss": 1.5, "train/lr": 0.1})]
    assert log.shown == {"loss": 1.5}


def test_a_late_line_is_written_with_the_next_one_or_when_flushed() -> None:
    lines = Lines()
    log = Log(lines, guard(), late=True)
    log.line(1, window(1.0), {})
    assert lines.lines == []
    log.line(2, window(2.0), {})
    assert lines.lines == [(1, {"train/loss": 1.0})]
    log.flush()
    log.flush()
    assert lines.lines[1:] == [(2, {"train/loss": 2.0})]


def test_making_a_late_line_reads_nothing_that_is_not_an_interval_old(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[ReadBack] = []
    numbers = ReadBack.numbers
    monkeypatch.setattr(ReadBack, "numbers", lambda self: (read.append(self), numbers(self))[1])
    log = Log(Lines(), guard(), late=True)
    log.line(1, window(1.0), {})
    first = log._pending
    assert read == [] and first is not None
    log.line(2, window(2.0), {})
    assert read == [first.sums]


def test_the_figures_are_those_of_the_line_though_tensors_change_later() -> None:
    lines, counter = Lines(), torch.tensor(1.0)
    made = Window()
    made.add({"loss": counter})
    log = Log(lines, guard(), late=True)
    log.line(1, made, {})
    counter += 5
    log.flush()
    assert lines.lines == [(1, {"train/loss": 1.0})]


def test_a_late_line_still_ends_a_run_of_bad_steps() -> None:
    lines, watched = Lines(), guard(abort_after=2)
    log = Log(lines, watched, late=True)
    watched.worst_row += 2
    log.line(7, window(1.0), {})
    with pytest.raises(InputError, match=r"2 steps in a row \(before step 7\)"):
        log.line(8, window(1.0), {})
    assert lines.lines == []


@pytest.mark.parametrize("validate_every", [0, 4])
def test_training_with_late_lines_is_the_training_with_lines_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, validate_every: int
) -> None:
    kept: list[tuple[list[tuple[int, Mapping[str, float]]], dict[str, Any]]] = []
    for name in ("at_once", "late"):
        if name == "late":
            monkeypatch.setattr(loop, "Log", LateLog)
        (tmp_path / name).mkdir()
        objective = Toy()
        _, lines = run(
            tmp_path / name,
            objective=objective,
            steps=11,
            log_every=3,
            save_every=5,
            validate_every=validate_every,
        )
        kept.append((lines.lines, objective.state_dict()))
    assert kept[0][0] == kept[1][0]
    assert all(torch.equal(value, kept[1][1][name]) for name, value in kept[0][1].items())


@pytest.mark.gpu
def test_a_logged_step_waits_for_nothing_on_cuda() -> None:
    device = torch.device("cuda")
    module = nn.Linear(4, 4).to(device)
    optimizer = SGD(module.parameters(), lr=0.1, fused=True)
    watched = StepGuard(module, 3, device)
    lines, made = Lines(), Window()
    log = Log(lines, watched, late=True)
    images = torch.randn(8, 4, device=device)
    for step in range(4):
        if step == 2:  # the first steps of an optimizer wait
            torch.cuda.set_sync_debug_mode("error")
        watched.remember()
        loss = module(images).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = watched.step(optimizer, loss, None)
        made.add({"loss": loss.detach(), "norm": norm})
        if step != 3:
            log.line(step, made, {})
    torch.cuda.set_sync_debug_mode("default")
    log.flush()
    assert [step for step, _ in lines.lines] == [0, 1, 2]
