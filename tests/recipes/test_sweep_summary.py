"""The runs of a sweep in one table, sorted by validation, and the figure that a search maximises."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from measured_runs import a_run, accuracies_of, few_shot_result, stream_result
from omegaconf import OmegaConf

from fewshot.cli.verbs import main
from fewshot.errors import InputError
from fewshot.recipes.sweep_objective import objective, refuse_unmeasured, validation_of
from fewshot.recipes.sweep_summary import VALIDATION, summarise


def swept(folder: Path) -> dict[str, Path]:
    """Four runs, three of them evaluated, one still without validation."""
    runs = {
        "a": a_run(folder / "a", best=0.25),
        "b": a_run(folder / "deep" / "b", loss__k=8, best=0.75),
        "c": a_run(folder / "c", "nca", seed=1, best=0.5),
        "d": a_run(folder / "d", best=None, rate=0.123456789012345),
    }
    for name in "abc":
        few_shot_result(runs[name])
    (folder / "broken").mkdir()
    (folder / "broken" / "run.json").write_text("{")
    return runs


def test_rows_are_runs_and_columns_what_they_differ_in(tmp_path: Path) -> None:
    runs = swept(tmp_path)
    found = summarise(tmp_path)
    assert found.columns == (
        *("run", "loss", "loss.k", "seed", "rate"),
        *(VALIDATION, "5-shot, %", "training, s", "status"),
    )
    cells = [dict(zip(found.columns, row, strict=True)) for row in found.rows]
    assert [row["run"] for row in cells] == ["deep/b", "c", "a", "d"]
    assert [row[VALIDATION] for row in cells] == [75.0, 50.0, 25.0, None]
    assert [(row["loss"], row["loss.k"], row["seed"]) for row in cells[:2]] == [
        ("icnn", "8", "0"),
        ("nca", None, "1"),
    ]
    shown = str(cells[0]["5-shot, %"]).split(" +- ")[0]
    assert float(shown) == pytest.approx(100 * accuracies_of(runs["b"]).mean(), abs=0.006)
    assert cells[3]["5-shot, %"] is None and cells[3]["status"] == "finished"


@pytest.mark.parametrize(
    ("sort", "order"),
    [("5-shot", None), ("run", ["a", "c", "d", "deep/b"]), ("seed", ["a", "d", "deep/b", "c"])],
)
def test_another_column_to_sort_by(tmp_path: Path, sort: str, order: list[str] | None) -> None:
    runs = swept(tmp_path)
    found = summarise(tmp_path, sort)
    if order is None:
        by_test = sorted("abc", key=lambda name: -accuracies_of(runs[name]).mean())
        order = [*("deep/b" if name == "b" else name for name in by_test), "d"]
    assert sorted(order) == sorted(row[0] for row in found.rows if isinstance(row[0], str))
    if sort == "seed":
        assert found.rows[-1][0] == "c"
    else:
        assert [row[0] for row in found.rows] == order


def test_figures_of_several_evaluations_are_named_by_them(tmp_path: Path) -> None:
    run = a_run(tmp_path / "a")
    few_shot_result(run, (1, 5), name="glyphs")
    few_shot_result(run, (5,), name="cub", testbed="b" * 64)
    assert [c for c in summarise(tmp_path).columns if "shot" in c] == [
        *("5-shot of cub, %", "1-shot of glyphs, %", "5-shot of glyphs, %"),
    ]


def test_the_verb_prints_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    swept(tmp_path)
    page, table = tmp_path / "page.md", tmp_path / "table.csv"
    assert main(["summary", str(tmp_path), f"markdown={page}", "--csv", str(table)]) == 0
    out = capsys.readouterr().out
    assert page.read_text() == out and "4 runs, sorted by validation, %" in out
    assert "| d |" in out and "| 0.12346 |" in out
    rows = list(csv.DictReader(table.open()))
    assert rows[3]["rate"] == "0.123456789012345" and float(rows[0][VALIDATION]) == 75
    assert main(["summary", str(tmp_path), "sort=shots"]) == 2
    assert "no column has 'shots' in the title; they are run; loss" in capsys.readouterr().err
    assert main(["summary", str(tmp_path / "broken")]) == 2
    assert "there is no run below" in capsys.readouterr().err
    assert main(["summary", str(tmp_path / "none")]) == 2
    assert main(["summary"]) == 2


def test_the_objective_is_of_validation_alone(tmp_path: Path) -> None:
    assert objective(a_run(tmp_path / "a", best=0.25)) == 0.25
    of_test, of_validation = (a_run(tmp_path / name, best=None) for name in ("test", "validation"))
    stream_result(of_test)
    folder = stream_result(of_validation, "validation")
    assert validation_of(of_test) is None
    with pytest.raises(InputError, match="no validation"):
        objective(of_test)
    final = json.loads((folder / "result.json").read_text())["class_incremental"]["final_average"]
    assert objective(of_validation) == final


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"validation": {"every": 0}}, "set validation.every"),
        ({}, "set validation.every"),
        (
            {"continual": {"_target_": "x"}, "scenario": {"validation_share": 0.0}},
            "may not choose by test images",
        ),
        ({"validation": {"every": 10}}, None),
        ({"continual": {"_target_": "x"}, "scenario": {"validation_share": 0.1}}, None),
        ({"continual": {}, "validation": {"every": 10}}, None),
    ],
)
def test_a_run_that_would_measure_nothing_is_refused_before_it_trains(
    config: dict[str, object], says: str | None
) -> None:
    made = OmegaConf.create(config)
    if says is None:
        refuse_unmeasured(made)
    else:
        with pytest.raises(InputError, match=says):
            refuse_unmeasured(made)
