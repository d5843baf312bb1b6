"""A search over options by Hydra and Optuna: it maximises the validation, and says what it lacks."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import yaml

from fewshot.cli.verbs import main

TINY = [
    *("recipe=retrieval", "mixup=embedding", "steps=2", "validation.every=2", "threads=1"),
    *("data.images_per_class=4", "data.size=16", "backbone.width=8", "output_dir=runs"),
]
SEARCH = ["-m", "hydra/sweeper=search", "hydra.sweeper.n_trials=2", "mixup.alpha=interval(0.5,4)"]
HERE = (
    importlib.util.find_spec("hydra_plugins.hydra_optuna_sweeper")
    if importlib.util.find_spec("optuna")
    else None
)


@pytest.fixture(autouse=True)
def working(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEWSHOT_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.skipif(HERE is None, reason="needs pip install 'fewshot[optuna]'")
def test_a_search_keeps_the_best_validation(working: Path) -> None:
    assert main(["train", *SEARCH, *TINY]) == 0
    (found,) = working.glob("runs/*multirun*/optimization_results.yaml")
    best = yaml.safe_load(found.read_text())
    records = [json.loads(path.read_text()) for path in working.glob("runs/*/run.json")]
    assert len(records) == 2
    assert best["best_value"] == max(record["best"] for record in records)
    assert 0.5 <= best["best_params"]["mixup.alpha"] <= 4


@pytest.mark.skipif(HERE is None, reason="needs pip install 'fewshot[optuna]'")
@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("validation.every=0", "a search maximises the validation"),
        (
            "hydra.sweeper.direction=minimize",
            "hydra.sweeper.direction=minimize: figures are better when higher",
        ),
    ],
)
def test_a_search_that_could_not_choose_trains_nothing(
    words: str, says: str, working: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *SEARCH, *(w for w in TINY if not w.startswith("validation")), words]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"error: {says}")
    assert list(working.glob("runs/*/run.json")) == []


@pytest.mark.skipif(HERE is not None, reason="the extra is installed")
def test_without_the_extra_the_line_says_how_to_get_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *SEARCH, *TINY]) == 2
    assert "pip install 'fewshot[optuna]' brings it" in capsys.readouterr().err
