"""`list` and `show`: every part there is, told without importing it."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fewshot.cli.conf_folder import ConfFolder
from fewshot.cli.definition import definition
from fewshot.cli.listing import kinds
from fewshot.cli.verbs import main
from fewshot.targets import resolve_target

CHECKOUT = Path(__file__).resolve().parents[2]
CONF = ConfFolder.found()
PARTS = [(kind, name) for kind in kinds(CONF) for name in CONF.choices(kind)]


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(words) == 0
    return capsys.readouterr().out


def mistake(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_list_names_every_group_and_choice(capsys: pytest.CaptureFixture[str]) -> None:
    out = said(capsys, "list")
    words = set(out.split())
    assert {kind for kind, _ in PARTS} | {name for _, name in PARTS} <= words
    assert {"loss", "table", "sweep"} <= words


def test_list_of_a_group_says_what_each_is(capsys: pytest.CaptureFixture[str]) -> None:
    out = said(capsys, "list", "loss")
    assert "[prototypical]" in out and "arXiv" in out
    flat = " ".join(out.split())
    for name in CONF.choices("loss"):
        assert f"{CONF.about(f'loss/{name}')}" in flat, name
    assert "PRD" in said(capsys, "list", "sweep")


@pytest.mark.parametrize("kind", kinds(CONF))
def test_every_part_can_be_shown(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name in CONF.choices(kind):
        out = said(capsys, "show", f"{kind}/{name}")
        assert out.startswith(f"{kind}={name}") and "\nuse        " in out
        target = CONF.load(f"{kind}/{name}").get("_target_") if kind not in ("table", "sweep") else None
        if target is not None:
            assert target in out and definition(target) is not None


def test_shown_options_are_typed_and_explained(capsys: pytest.CaptureFixture[str]) -> None:
    out = " ".join(said(capsys, "show", "loss/icnn").split())
    for text in (
        "(Mendez-Ruiz et al. 2023, arXiv 2305.09062)",
        "fewshot.losses.ICNN (fewshot/losses/icnn.py:",
        "ICNN of an episode, in each variant of the paper's code.",
        "loss.k=4 int; neighbours of each point",
        "loss.inspected=null int | None;",
        "python train.py loss=icnn",
    ):
        assert text in out, text
    assert said(capsys, "show", "loss=icnn") == said(capsys, "show", "loss/icnn")
    # What the YAML does not explain, the docstring does.
    assert "backbone.pretrained=false bool; load timm's" in " ".join(
        said(capsys, "show", "backbone/timm").split()
    )
    assert "recipe=retrieval" in said(capsys, "show", "experiment/metrix/cub")
    assert "method: bayes" in said(capsys, "show", "sweep/prd")


TARGETS = sorted(
    {
        str(values["_target_"])
        for kind, name in PARTS
        if kind not in ("table", "sweep") and "_target_" in (values := CONF.load(f"{kind}/{name}"))
    }
)


@pytest.mark.parametrize("target", [t for t in TARGETS if t.startswith("fewshot.")])
def test_what_is_read_from_the_source_is_what_python_finds(target: str) -> None:
    """Names, docstring and file, for all of our own parts."""
    found, real = definition(target), resolve_target(target, "recipe")
    assert found is not None and inspect.getsourcefile(real) == str(found.path)
    if found.docstring:
        assert found.docstring == inspect.getdoc(real)
    named = inspect.signature(real).parameters
    assert set(found.arguments) <= set(named)
    for name in found.arguments:
        ast.parse(found.arguments[name] or "None")


@pytest.mark.parametrize(
    "name", ["nothing.here", "fewshot.losses.Nothing", "fewshot.nowhere.ICNN", "", "torch"]
)
def test_no_definition(name: str) -> None:
    assert definition(name) is None


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("show", "show: needs one GROUP/NAME"),
        ("show loss/icnn loss/nca", "show: needs one GROUP/NAME"),
        ("show loss", "show: write loss/NAME; NAME is one of arcface"),
        ("show loss/icn", "did you mean 'icnn'?"),
        ("show icnn", "did you mean loss/icnn?"),
        ("show los/icnn", "did you mean 'loss'?"),
        ("list losses", "did you mean 'loss'?"),
        ("list conv4", "did you mean backbone/conv4?"),
        ("list loss icnn", "list icnn: takes one group, or none"),
    ],
)
def test_mistakes_are_one_line(words: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert says in mistake(capsys, *words.split())


@pytest.mark.parametrize("words", ["['list']", "['list', 'loss']", "['show', 'optimizer/adam']"])
def test_nothing_heavy_is_imported(words: str) -> None:
    code = (
        "import sys\nfrom fewshot.cli.verbs import main\n"
        f"assert main({words}) == 0\n"
        "heavy = {'torch', 'timm', 'numpy', 'hydra', 'omegaconf', 'wandb'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    # 0.1 s on a quiet core.
    assert time.monotonic() - began < 3
