"""Reports of the three recipes: what they show, what hostile names and damaged files do to them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pages import Page, assert_sound
from tiny_runs import GLYPHS, HOSTILE, SMALL, Runs, only

from fewshot.cli import run_report
from fewshot.cli.commands import report, train
from fewshot.cli.run_report import report_at_the_end, write_report
from fewshot.errors import InputError
from fewshot.evaluation.result_files import read_result
from fewshot.recipes.evaluated import evaluated_images
from fewshot.report.thumbnails import data_uri


def page_of(run: Path) -> Page:
    return assert_sound(write_report(run)[0].read_text(encoding="utf-8"))


def left_out(page: Page) -> str:
    return page.sections.get("left-out", "")


def test_an_evaluation_writes_the_report_of_a_few_shot_run(runs: Runs) -> None:
    page = assert_sound((runs.few_shot / "report.html").read_text(encoding="utf-8"))
    assert page.headings == [
        "What was run",
        "Results",
        "Learning curves",
        "Shot curve",
        "Classes",
        "Hardest episodes",
        "Nearest neighbours",
        "Map of the embeddings",
        "Likeness of classes",
        "Calibration",
        "Time and memory",
    ]
    (folder,) = (runs.few_shot / "eval").iterdir()
    saved = read_result(folder)
    for point in saved.summary["curve"]:
        told = f"{100 * point['accuracy']:.2f} ± {100 * point['interval']:.2f} %"
        assert told in page.sections["results"]
    assert "unseen classes of the data it was trained on" in page.sections["results"]
    hardest = int(saved.accuracies[-1].argmin())
    assert (
        f"Episode {hardest}: {100 * saved.accuracies[-1][hardest]:.1f} %" in page.sections["hardest-episodes"]
    )
    assert "steps=6" in page.sections["what-was-run"] and "backbone.width" in page.sections["what-was-run"]
    assert "torch" in page.sections["what-was-run"] and "peak memory" in page.sections["time-and-memory"]
    # 40 episodes of 3 x 5 queries, all of them from the cache.
    assert "600 queries of the first 40 of 40 episodes" in page.sections["calibration"]


def test_the_pictures_are_those_of_the_saved_predictions(runs: Runs) -> None:
    page = page_of(runs.few_shot)
    (folder,) = (runs.few_shot / "eval").iterdir()
    saved = read_result(folder)
    images = evaluated_images(runs.few_shot, saved.summary)
    assert images.testbed is not None
    queries, supports = [], []
    for episode in np.argsort(saved.accuracies[-1], kind="stable")[:3]:
        for way, predicted in enumerate(saved.predictions[-1][episode]):
            wrong = np.flatnonzero(predicted != way)
            queries += [images.testbed.images[episode, way, 3 + query] for query in wrong[:6]]
            supports += images.testbed.images[episode, way, :3].tolist() if len(wrong) else []
    for shown, told in ((queries, "query of "), (supports, "support of ")):
        found = [str(image["src"]) for image in page.of("img") if str(image["alt"]).startswith(told)]
        assert sorted(found) == sorted(data_uri(images.image_set, int(image))[0] for image in shown) != []


def test_a_retrieval_run_with_hostile_class_names(runs: Runs) -> None:
    html = write_report(runs.retrieval)[0].read_text(encoding="utf-8")
    page = assert_sound(html)
    assert "Recall@1" in page.sections["results"] and "MAP@R" in page.sections["results"]
    told = " ".join(page.sections.values())
    for name in HOSTILE:
        assert name.replace("/", "") in told
    assert "<script" not in html and "<img src=x" not in html
    assert "Calibration: it needs the scores of a few-shot evaluation" in left_out(page)


def test_a_continual_run_has_its_matrices_and_sessions(runs: Runs) -> None:
    page = page_of(runs.continual)
    assert {
        "accuracy-by-task",
        "sessions",
        "nearest-neighbours",
        "map-of-the-embeddings",
    } <= page.sections.keys()
    accuracy = json.loads((runs.continual / "accuracy.json").read_text())
    last = 100 * accuracy["class_incremental"][-1][0]
    assert f"after learning task 3, measured on task 1: {last:.1f}" in page.sections["accuracy-by-task"]
    assert "final average" in page.sections["results"]
    assert "Hardest episodes" in left_out(page)


def test_the_same_run_gives_the_same_page(runs: Runs) -> None:
    first = write_report(runs.few_shot)[0].read_bytes()
    assert write_report(runs.few_shot)[0].read_bytes() == first


def test_without_the_cache_a_bounded_sample_is_embedded(runs: Runs, tmp_path: Path) -> None:
    run = copied(runs.few_shot, tmp_path)
    shutil.rmtree(run / "embeddings")
    page = page_of(run)
    assert "queries of the first" in page.sections["calibration"]
    assert "hardest-episodes" in page.sections


def copied(run: Path, folder: Path) -> Path:
    shutil.copytree(run, folder / run.name)
    return folder / run.name


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    "damage,told,lost",
    [
        (lambda run: cut(run / "best.pt"), "best.pt", "nearest-neighbours"),
        (lambda run: (run / "best.pt").unlink(), "best.pt", "calibration"),
        (lambda run: cut(next(run.glob("eval/*/episodes.npz"))), "is damaged", "hardest-episodes"),
        (
            lambda run: next(run.glob("eval/*/result.json")).write_text("[3]"),
            "holds no mapping",
            "shot-curve",
        ),
        (lambda run: next(run.glob("eval/*/result.json")).write_text('{"curve": 3}'), "damaged", "results"),
        (lambda run: (run / "run.json").unlink(), "run.json is missing", ""),
        (lambda run: (run / "config.yaml").write_text("a: [1"), "config.yaml is damaged", "calibration"),
        (lambda run: (run / "config.yaml").write_text("data: 3\nchoices: [x]\n"), "damaged", "calibration"),
        (lambda run: cut(run / "metrics.jsonl"), "metrics.jsonl: 1 lines are damaged", ""),
        (lambda run: (run / "metrics.jsonl").write_text("\x00\n"), "metrics.jsonl", "learning-curves"),
    ],
)
def test_a_missing_or_damaged_file_is_one_line(
    runs: Runs, tmp_path: Path, damage: Callable[[Path], object], told: str, lost: str
) -> None:
    run = copied(runs.few_shot, tmp_path)
    damage(run)
    page = page_of(run)
    assert told in left_out(page) and lost not in page.sections
    assert "time-and-memory" in page.sections


def test_other_weights_or_images_than_were_evaluated_are_told(runs: Runs, tmp_path: Path) -> None:
    run = copied(runs.few_shot, tmp_path)
    (path,) = run.glob("eval/*/result.json")
    summary = json.loads(path.read_text())
    path.write_text(json.dumps({**summary, "step": 5}))
    assert "and that of step 5 was evaluated" in left_out(page_of(run))
    path.write_text(json.dumps({**summary, "testbed_sha256": "0"}))
    assert "make other episodes" in left_out(page_of(run))


def test_images_that_are_not_here_are_not_packed_for_a_report(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copied(runs.few_shot, tmp_path)
    monkeypatch.setenv("FEWSHOT_DATA", str(tmp_path / "nothing"))
    assert "are not packed here" in left_out(page_of(run))
    assert not (tmp_path / "nothing").exists()


def test_a_hostile_folder_and_record(runs: Runs, tmp_path: Path) -> None:
    run = tmp_path / '<svg onload="x">'
    shutil.copytree(runs.few_shot, run)
    record = json.loads((run / "run.json").read_text())
    record["selection"] = "<script>1</script>\ud800"
    record["machine"]["device"] = "'\"><img src=http:x>"
    (run / "run.json").write_text(json.dumps(record))
    page = page_of(run)
    assert "<script>1</script>" in page.sections["what-was-run"]


def test_a_folder_that_cannot_be_written(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copied(runs.few_shot, tmp_path)
    write = run_report.write_whole

    def refusing(path: Path, text: str) -> None:
        if run in path.parents:
            raise PermissionError(13, "Permission denied")
        write(path, text)

    monkeypatch.setattr(run_report, "write_whole", refusing)
    with pytest.raises(InputError, match=r"cannot write .*report.html: Permission denied; choose output=DIR"):
        report.run([str(run)])
    assert report.run([str(run), f"output={tmp_path / 'pages'}"]) == 0
    assert_sound((tmp_path / "pages" / f"{run.name}.html").read_text(encoding="utf-8"))
    # At the end of a run it is one line, and no failure.
    report_at_the_end(run)
    assert capsys.readouterr().err.count("\n") == 1


def test_an_overview_of_several_runs(runs: Runs, tmp_path: Path) -> None:
    again = copied(runs.few_shot, tmp_path / "again")
    assert report.run([*map(str, (*runs, again)), f"output={tmp_path}"]) == 0
    page = assert_sound((tmp_path / "overview.html").read_text(encoding="utf-8"))
    links = [str(link["href"]) for link in page.of("a") if not str(link["href"]).startswith("#")]
    assert len(set(links)) == 4 and all((tmp_path / link).is_file() for link in links)
    assert "the same test images" in page.sections["the-same-evaluations"]
    assert (
        "recipe" in page.sections["options-that-differ"]
        and "scenario.shots" in page.sections["options-that-differ"]
    )
    assert "validation" in page.sections


def test_a_training_writes_its_report_and_outlives_a_failing_one(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*SMALL[:3], *GLYPHS, "steps=1", "ways=3", "shots=2", "queries=4", "validation.every=0"]
    assert train.run([*words, f"output_dir={tmp_path / 'a'}"]) == 0
    page = assert_sound((only(tmp_path / "a") / "report.html").read_text(encoding="utf-8"))
    assert "val classes of glyphs" in page.sections["nearest-neighbours"]
    assert "not evaluated yet" in left_out(page)

    def failing(*_: object) -> None:
        raise ZeroDivisionError("of the report")

    monkeypatch.setattr(run_report, "write_report", failing)
    capsys.readouterr()
    assert train.run([*words, f"output_dir={tmp_path / 'b'}"]) == 0
    assert "report: not written (ZeroDivisionError: of the report)" in capsys.readouterr().err
    assert json.loads((only(tmp_path / "b") / "run.json").read_text())["status"] == "finished"
