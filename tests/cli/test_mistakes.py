"""Each mistake on the command line: one line, status 2, nothing on disk, no recipe called."""

from __future__ import annotations

import pytest
from laboratory_project import Laboratory

MISTAKES = {
    "losss=icnn": "unknown key 'losss'; did you mean 'loss'?",
    "loss=icn": "there is no loss=icn; the choices are icnn, prototypical; did you mean 'icnn'?",
    "loss=null": "there is no loss=null; the choices are icnn, prototypical",
    "experiment=null": "experiment=null: write experiment=none",
    "loss=": "loss=: has no value; the choices are icnn, prototypical",
    "loss=[icnn,prototypica]": "there is no loss=prototypica; the choices are icnn, prototypical; "
    "did you mean 'prototypical'?",
    "--loss=icnn": "--loss=icnn: write loss=icnn, without dashes",
    "--loss icnn": "--loss: write loss=icnn, without dashes",
    "-shots 3": "-shots: write shots=3, without dashes",
    "--multi": "unknown flag --multi: options are written KEY=VALUE; did you mean '--multirun'?",
    "--cfg": "--cfg needs a value; --help shows examples",
    "--cfg jobs": "--cfg jobs: must be job, hydra or all",
    "--config-dir nowhere": "--config-dir nowhere: there is no such folder",
    "loss=icnn loss.kk=3": "loss=icnn has no option 'kk'; its options are k, variant; did you mean 'k'?",
    "data.size=3": "data.size=3: needs a choice, data=NAME, whose option it is",
    "optimizer=adam": "unknown key 'optimizer'",
    "loss.k=3": "loss=prototypical has no option 'k'; its options are temperature",
    "loss.k.deep=3 loss=icnn": "loss.k has no option 'deep'; it has none",
    "temperature=2": "unknown key 'temperature'; did you mean loss.temperature?",
    "validation.evry=3": "validation has no option 'evry'; its options are every; did you mean 'every'?",
    "validation.every=x": "validation.every: expected int, got 'x'",
    "ways=five": "ways: expected int, got 'five'",
    "ways=2.5": "ways: expected int, got 2.5",
    "ways=null": "ways: expected int, got null",
    "ways=": "ways=: has no value; write ways=VALUE, or null for none",
    "shots=[1,b]": "shots: expected int or list[int], got [1, 'b']",
    "rate=fast": "rate: expected float, got 'fast'",
    "ways=1,2": "ways=1,2: several values need -m, which makes one run of each; a list is written ways=[1,2]",
    "-m ways=1,two": "ways: expected int, got 'two'",
    "icnn": "'icnn' is not KEY=VALUE; did you mean loss=icnn?",
    "hello": "'hello' is not KEY=VALUE; --help shows the keys",
    "ways = 5": "'=' is no option; write KEY=VALUE without spaces around =",
    "trust=1+1": "trust=1+1: write trust=[PACKAGE,...] with the names of Python packages",
    # Told by Hydra, or by the composed config.
    "ways=[1": "ways: expected int, got '[1'",
    "name=[1": "name=[1: can't be read; text with brackets, commas or spaces needs quotes of its own",
    "loss=icnn loss.variant=[1": "loss.variant=[1: can't be read;",
    "experiment=wrong": "ways: expected int, got 'twenty'",
    "experiment=lost": "name: Interpolation key 'nowhere' not found",
    "experiment=open": "needed: needs a value; write needed=VALUE",
    "loss=icnn loss.k=five": "loss.k: expected int, got 'five'",
    "+loss._target_=os.system": "Could not append to config. An item is already at 'loss._target_'.",
    "loss._target_=os.system": "loss._target_=os.system: is outside the allowed packages",
    "loss._target_=laboratory.os.system": "loss._target_=laboratory.os.system: is no class",
    "loss._target_=laboratory.pathlib.Path": "loss._target_=laboratory.pathlib.Path: is defined in pathlib",
    "loss._target_=laboratory.ICN": "loss._target_=laboratory.ICN: there is no 'laboratory.ICN'; did",
    "~nothing": "Could not delete from config. 'nothing' does not exist.",
    "hydra/launcher=nothing": "In 'hydra/config': Could not find 'hydra/launcher/nothing'",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_one_line_and_status_2(
    words: str, laboratory: Laboratory, capsys: pytest.CaptureFixture[str]
) -> None:
    status = laboratory.run(*words.split())

    output, errors = capsys.readouterr()
    assert errors.startswith(f"error: {MISTAKES[words]}")
    assert (errors.count("\n"), output, status) == (1, "", 2)
    assert laboratory.calls == [] and list(laboratory.folder.iterdir()) == []


def test_recipes_mistake_is_one_line_without_control_characters(
    laboratory: Laboratory, capsys: pytest.CaptureFixture[str]
) -> None:
    assert laboratory.run("name=mistake") == 2
    assert capsys.readouterr().err == "error: class a has \\x1b[31mtoo few images\n"


def test_traceback_on_request(
    laboratory: Laboratory, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEWSHOT_TRACEBACK", "1")
    assert laboratory.run("name=mistake") == 2
    errors = capsys.readouterr().err
    assert "Traceback" in errors and "in recipe" in errors


def test_a_bug_keeps_its_traceback(laboratory: Laboratory) -> None:
    with pytest.raises(ZeroDivisionError):
        laboratory.run("name=bug")


def test_interrupt_and_exit_keep_their_status(
    laboratory: Laboratory, capsys: pytest.CaptureFixture[str]
) -> None:
    assert laboratory.run("name=stop") == 130
    assert capsys.readouterr().err == "interrupted\n"
    with pytest.raises(SystemExit, match="143"):
        laboratory.run("name=leave")


def test_signal_ends_a_run_with_128_plus_its_number(
    laboratory: Laboratory, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["name=terminated"], ["-m", "name=terminated,good"]):
        with pytest.raises(SystemExit, match="143"):
            laboratory.run(*words)
        assert capsys.readouterr().err.endswith("stopped: saved at step 3\n")
    assert len(laboratory.calls) == 2
