"""Values that have the right type and make no sense: one line, exit status 2, and no run begun."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from fewshot.cli.commands import table, train
from fewshot.cli.failure import exit_status

SMALL = [
    "threads=1",
    "precision=float32",
    "backbone.width=4",
    "steps=4",
    "data.images_per_class=6",
    "shots=1",
    "queries=2",
]


def told(command: Callable[[Sequence[str]], int], *words: str) -> tuple[int, list[str]]:
    """Exit status and the lines on stderr of a command run in this process."""
    err = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(err):
        status = exit_status(lambda: command(words))
    return status, err.getvalue().strip().splitlines()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which a few glyphs are packed."""
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEWSHOT_DATA", str(folder / "data"))
        patch.chdir(folder)
        status, lines = told(train.run, *SMALL, "validation.every=0", "name=fits")
        assert status == 0, lines
        yield folder


@pytest.mark.parametrize(
    "words,message",
    [
        ("validation.every=-5", "validation.every=-5 must be at least 0"),
        ("validation.patience=2 validation.every=0", "validation.patience=2 counts validations"),
        ("validation.patience=0", "validation.patience=0 must be at least 1, or null"),
        ("validation.episodes=0", "episodes=0 for val testbed must be at least 1"),
        ("validation=foo", "its keys are validation.every"),
        ("validation=null", "its keys are validation.every"),
        ("training.log_every=0", "training.log_every=0 must be at least 1"),
        ("training.clip_norm=-1", "training.clip_norm=-1.0 must be above 0, or null"),
        ("training.clip_value=0", "training.clip_value=0.0 must be above 0, or null"),
        ("epochs=0", "epochs=0 must be at least 1, or null"),
        ("sampler.queries=0", "queries=0 for train must be at least 1"),
        ("sampler.episodes_per_epoch=0", "episodes_per_epoch=0 for train must be at least 1"),
        ("sampler.ways=1", "sampler.ways=1 leaves nothing to tell apart"),
        ("scheduler.T_max=0", "scheduler.T_max=0 must be a whole number, at least 1"),
        ("scheduler.warmup=-1", "scheduler.warmup=-1 must be a number of steps"),
        ("scheduler=step scheduler.step_size=0", "scheduler.step_size=0 must be a whole number"),
        ("scheduler=step scheduler.gamma=-1", "scheduler.gamma=-1 must be a number above 0"),
        ("scheduler=multistep scheduler.milestones=5", "scheduler.milestones=5 must be a list"),
        ("scheduler=multistep scheduler.milestones=[a]", "must be a list of whole numbers"),
        ("~loss", "~loss: can't be left out; choose loss=NAME"),
        ("~steps", "~steps: can't be left out; write steps=VALUE"),
        ("~validation.every", "~validation.every: can't be left out"),
    ],
)
def test_a_senseless_value_is_one_line_before_the_run(
    place: Path, tmp_path: Path, words: str, message: str
) -> None:
    status, lines = told(train.run, *SMALL, *words.split(), f"output_dir={tmp_path / 'runs'}")
    assert (status, len(lines)) == (2, 1), lines
    assert message in lines[0]
    assert not (tmp_path / "runs").exists()


def test_a_run_whose_config_is_another_file_is_named(place: Path, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("foo: 1\n")
    (run,) = (place / "runs").iterdir()
    (tmp_path / "last.pt").write_bytes((run / "last.pt").read_bytes())
    status, lines = told(train.run, f"resume={tmp_path}")
    assert (status, len(lines)) == (2, 1), lines
    assert "config.yaml is not the config of a run" in lines[0]


def test_steps_do_not_give_way_to_an_experiments_epochs_unsaid() -> None:
    words = ["experiment=protonet/miniimagenet", "steps=2"]
    status, (line,) = told(train.run, *words)
    assert status == 2 and "steps=2" in line and "epochs=200" in line and "epochs=null" in line


@pytest.mark.parametrize(
    "word,message",
    [
        ("output_dir=elsewhere", "output=DIR"),
        ("seed=3", "the table sets it"),
        ("report=maybe", "report=maybe must be true or false"),
        ("fast", "'fast' is not KEY=VALUE"),
    ],
)
def test_a_table_refuses_what_it_would_override(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    status, (line,) = told(table.run, "susana", word)
    assert status == 2 and message in line
    assert not list(tmp_path.iterdir())
