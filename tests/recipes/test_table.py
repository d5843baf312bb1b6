"""Tables of many runs: resumed where they were, compared on the same episodes, silent about nothing."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fewshot.cli.commands import eval as eval_
from fewshot.cli.commands import table as verb
from fewshot.cli.commands import train
from fewshot.continual.accuracy_matrix import KINDS
from fewshot.errors import InputError
from fewshot.evaluation.accuracy import FewShotAccuracy
from fewshot.evaluation.result_files import read_result, save_result, write_summary_and_arrays
from fewshot.evaluation.retrieval import Retrieval
from fewshot.evaluation.retrieval_result import read_retrieval, save_retrieval
from fewshot.recipes.continual_result import ARRAYS
from fewshot.recipes.run_record import save_record
from fewshot.recipes.table import Table, fill
from fewshot.recipes.table_report import report
from fewshot.sampling.testbed import Testbed

WAYS, QUERIES, EPISODES = 3, 4, 30
FILE = """
title: Two losses
cost: nothing
seeds: {seeds}
baseline: plain
settings:
  digits:
    train: [data=glyphs, steps=7]
    evaluate: {{1-shot: [shots=1], 5-shot: [shots=5, ways=3]}}
rows:
  plain: ['loss=prototypical']
  odd (one): ['loss=icnn', 'loss.k=2']
"""


class Laboratory:
    """Does what `train` and `eval` do to folders, and keeps what it was asked.

    Args:
        stop_at: the number of the call, from 0, that a signal stops half way.
        dies: that call leaves no checkpoint.
    """

    def __init__(self, stop_at: int | None = None, dies: bool = False) -> None:
        self.calls: list[tuple[str, list[str]]] = []
        self.stop_at = stop_at
        self.dies = dies
        self.testbed = "a" * 64

    def __call__(self, name: str, words: Sequence[str]) -> None:
        stopped = len(self.calls) == self.stop_at
        self.calls.append((name, list(words)))
        given = dict(word.split("=", 1) for word in words)
        if name == "train":
            self.train(given, stopped)
        else:
            if stopped:
                raise InputError("stopped")
            self.evaluate(Path(given["run"]), given)

    def train(self, given: dict[str, str], stopped: bool) -> None:
        if "resume" in given:
            run = Path(given["resume"])
            assert (run / "last.pt").exists()
        else:
            run = Path(given["output_dir"]) / f"run{len(self.calls):03d}"
            run.mkdir(parents=True)
            (run / "words.json").write_text(json.dumps(given))
        record = {"recipe": "few_shot", "status": "stopped" if stopped else "finished", "seconds": 12.4}
        if not (stopped and self.dies):
            (run / "last.pt").touch()
        save_record(run, record)
        if stopped:
            raise InputError("stopped")

    def evaluate(self, run: Path, given: dict[str, str]) -> None:
        words = json.loads((run / "words.json").read_text())
        rank = (len(words["loss"]), int(words["seed"]), int(given["shots"]))
        draw = np.random.default_rng(rank)
        truth = np.arange(WAYS)[:, None]
        right = draw.random((EPISODES, WAYS, QUERIES)) < 0.6 + 0.05 * (rank[0] == 4)
        predictions = np.where(right, truth, (truth + 1) % WAYS).astype(np.int16)
        classes = np.broadcast_to(np.arange(WAYS), (EPISODES, WAYS))
        shots = rank[2]
        testbed = Testbed(
            "test", WAYS, shots, QUERIES, 0, np.zeros((EPISODES, WAYS, 1), np.int64), classes, self.testbed
        )
        curve = {shots: FewShotAccuracy(shots, predictions, classes)}
        machine = {"device": "abacus", "threads": 1, "torch": "2"}
        save_result(run / "eval" / f"{shots}-shot", curve, testbed, ["a", "b", "c"], {"machine": machine})


def written(folder: Path, seeds: str = "[0]") -> Table:
    path = folder / "two.yaml"
    path.write_text(FILE.format(seeds=seeds))
    return Table.read(path)


def cells_of(page: str, label: str) -> dict[str, list[str]]:
    """Row name -> its further cells, of the section with a label."""
    section = page.split(f", {label}\n")[1].split("\n### ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| ")]
    return {name.strip(): [cell.strip() for cell in cells] for name, *cells in rows[1:]}


def accuracies(table: Table, output: Path, row: str, seed: int, label: str) -> list[float]:
    """Per-episode accuracies as saved, found without the table's index."""
    (cell,) = [cell for cell in table.cells if (cell.row, cell.seed) == (row, seed)]
    (result,) = cell.folder(output).glob(f"*/eval/{label}/result.json")
    return [float(value) for value in read_result(result.parent).accuracies[0]]


# --- filling ----------------------------------------------------------------------------------------


def test_each_row_is_trained_and_evaluated_once(tmp_path: Path) -> None:
    table, run = written(tmp_path, "[0, 1]"), Laboratory()
    fill(table, tmp_path, run, ["threads=1"])
    trainings = [words for name, words in run.calls if name == "train"]
    assert [words[:-1] for words in trainings] == [
        ["data=glyphs", "steps=7", *row, f"seed={seed}", "threads=1"]
        for seed in (0, 1)
        for row in (["loss=prototypical"], ["loss=icnn", "loss.k=2"])
    ]
    folders = [words[-1] for words in trainings]
    assert len(set(folders)) == 4 and all(word.startswith(f"output_dir={tmp_path}/") for word in folders)
    # Hydra reads these as overrides: no brackets, no spaces.
    assert not any(set(word) & set(" ()[]{},'\"") for word in folders)
    assert [words[1:] for name, words in run.calls if name == "eval"] == [
        ["shots=1"],
        ["shots=5", "ways=3"],
    ] * 4
    again = Laboratory()
    fill(table, tmp_path, again)
    assert again.calls == []


@pytest.mark.parametrize("dies", [False, True])
def test_a_stopped_training_goes_on(tmp_path: Path, dies: bool) -> None:
    table, run = written(tmp_path), Laboratory(stop_at=3, dies=dies)
    with pytest.raises(InputError, match="stopped"):
        fill(table, tmp_path, run, ["threads=1", "precision=float32"])
    assert [name for name, _ in run.calls] == ["train", "eval", "eval", "train"]
    page = cells_of(report(table, tmp_path), "1-shot")
    assert page["odd (one)"] == ["not run yet", "", "", ""] and page["plain"][0] != "not run yet"
    again = Laboratory()
    fill(table, tmp_path, again, ["threads=1", "precision=float32"])
    name, words = again.calls[0]
    assert name == "train" and len(again.calls) == 3
    if dies:
        assert words[-1].startswith("output_dir=") and not any("resume" in word for word in words)
    else:
        # Only where it computes may be said anew; without threads=1 the times would not compare.
        (stopped,) = (path.parent for path in table.cells[1].folder(tmp_path).glob("*/last.pt"))
        assert words == [f"resume={stopped}", "threads=1"]
    assert cells_of(report(table, tmp_path), "1-shot")["odd (one)"][0] != "not run yet"


def test_a_stopped_evaluation_is_done_again(tmp_path: Path) -> None:
    table, run = written(tmp_path), Laboratory(stop_at=2)
    with pytest.raises(InputError, match="stopped"):
        fill(table, tmp_path, run)
    again = Laboratory()
    fill(table, tmp_path, again)
    assert [name for name, _ in again.calls] == ["eval", "train", "eval", "eval"]
    assert again.calls[0][1][1:] == ["shots=5", "ways=3"]


def test_a_row_that_says_something_else_now_is_not_taken_for_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(FILE.format(seeds="[0]"))
    fill(Table.read(path), tmp_path / "runs", Laboratory())
    path.write_text(FILE.format(seeds="[0]").replace("loss.k=2", "loss.k=3"))
    laboratory = Laboratory()
    with pytest.raises(InputError, match=r"loss\.k=2.*but the table now says.*loss\.k=3.*delete the folder"):
        fill(Table.read(path), tmp_path / "runs", laboratory)
    assert not laboratory.calls
    shutil.rmtree(next((tmp_path / "runs").glob("*odd*")))
    fill(Table.read(path), tmp_path / "runs", laboratory)
    assert [name for name, _ in laboratory.calls] == ["train", "eval", "eval"]


def test_a_deleted_result_is_made_again(tmp_path: Path) -> None:
    table = written(tmp_path)
    fill(table, tmp_path, Laboratory())
    (result,) = table.cells[0].folder(tmp_path).glob("*/eval/5-shot")
    shutil.rmtree(result)
    assert cells_of(report(table, tmp_path), "5-shot")["plain"][0] == "not run yet"
    again = Laboratory()
    fill(table, tmp_path, again)
    assert [(name, words[1:]) for name, words in again.calls] == [("eval", ["shots=5", "ways=3"])]


# --- reporting --------------------------------------------------------------------------------------


def test_nothing_was_run_yet(tmp_path: Path) -> None:
    page = report(written(tmp_path), tmp_path)
    for label in ("1-shot", "5-shot"):
        assert cells_of(page, label) == {row: ["not run yet", "", "", ""] for row in ("plain", "odd (one)")}
    # What all rows share, without what one row adds.
    assert "Trained with `data=glyphs steps=7`." in page
    assert "Cost: nothing." in page and "make table NAME=two" in page


def test_one_seed_has_intervals_over_episodes_and_paired_differences(tmp_path: Path) -> None:
    table = written(tmp_path)
    fill(table, tmp_path, Laboratory())
    page = report(table, tmp_path)
    for label in ("1-shot", "5-shot"):
        base, ours = (accuracies(table, tmp_path, row, 0, label) for row in ("plain", "odd (one)"))
        rows = cells_of(page, label)

        def interval(values: list[float]) -> str:
            half = 1.96 * statistics.stdev(values) / math.sqrt(len(values))
            return f"{100 * statistics.mean(values):.2f} +- {100 * half:.2f}"

        assert rows["plain"] == [interval(base), "", "0", "12"]
        difference = interval([a - b for a, b in zip(ours, base, strict=True)])
        assert rows["odd (one)"] == [interval(ours), difference, "0", "12"]
    assert "30 episodes, testbed seed 0, sha256 aaaaaaaaaaaa; abacus, 1 thread, torch 2" in page
    assert "over episodes, of one seed (differences paired)" in page


def test_several_seeds_have_student_intervals_over_seeds(tmp_path: Path) -> None:
    table = written(tmp_path, "[0, 1, 2]")
    fill(table, tmp_path, Laboratory())
    page = report(table, tmp_path)
    means = {
        row: [statistics.mean(accuracies(table, tmp_path, row, seed, "5-shot")) for seed in range(3)]
        for row in ("plain", "odd (one)")
    }

    def interval(values: list[float]) -> str:
        half = 4.302653 * statistics.stdev(values) / math.sqrt(3)  # t(0.975) with 2 degrees of freedom
        return f"{100 * statistics.mean(values):.2f} +- {100 * half:.2f}"

    rows = cells_of(page, "5-shot")
    assert rows["plain"] == [interval(means["plain"]), "", "0, 1, 2", "12"]
    paired = [a - b for a, b in zip(means["odd (one)"], means["plain"], strict=True)]
    assert rows["odd (one)"] == [interval(means["odd (one)"]), interval(paired), "0, 1, 2", "12"]
    assert "over seeds (t)" in page


def test_a_difference_takes_the_seeds_that_both_have(tmp_path: Path) -> None:
    table = written(tmp_path, "[0, 1, 2]")
    fill(table, tmp_path, Laboratory())
    shutil.rmtree(table.cells[0].folder(tmp_path))  # seed 0 of the baseline
    rows = cells_of(report(table, tmp_path), "5-shot")
    assert rows["plain"][2] == "1, 2" and rows["odd (one)"][2] == "0, 1, 2"
    seeds = [
        statistics.mean(accuracies(table, tmp_path, "odd (one)", seed, "5-shot"))
        - statistics.mean(accuracies(table, tmp_path, "plain", seed, "5-shot"))
        for seed in (1, 2)
    ]
    assert rows["odd (one)"][1].startswith(f"{100 * statistics.mean(seeds):.2f} +-")


def test_different_testbeds_are_not_compared(tmp_path: Path) -> None:
    table, run = written(tmp_path), Laboratory(stop_at=3)
    with pytest.raises(InputError, match="stopped"):
        fill(table, tmp_path, run)
    other = Laboratory()
    other.testbed = "b" * 64
    fill(table, tmp_path, other)
    with pytest.raises(InputError, match="different testbeds"):
        report(table, tmp_path)


RETRIEVAL_FILE = """
title: Mixed losses
cost: nothing
seeds: {seeds}
baseline: {{soft+mixed: soft, hard+mixed: hard}}
settings:
  digits:
    train: [recipe=retrieval]
    evaluate: {{retrieval: [evaluation=retrieval]}}
rows:
  soft: [loss=soft]
  soft+mixed: [loss=soft, mixup=on]
  hard: [loss=hard]
  hard+mixed: [loss=hard, mixup=on]
"""
CLASSES, EACH = 5, 8


class RetrievalLaboratory(Laboratory):
    """Leaves results of retrieval; those without mixup know no utilization."""

    queries = 0

    def evaluate(self, run: Path, given: dict[str, str]) -> None:
        words = json.loads((run / "words.json").read_text())
        mixed = "mixup" in words
        draw = np.random.default_rng((words["loss"] == "hard", mixed, int(words["seed"])))
        count = CLASSES * EACH
        ranks = 1 + (draw.random(count) < (0.3 if mixed else 0.6)).astype(np.int64)
        found = Retrieval(
            recall_at=(2, 4),
            images=np.arange(count) + self.queries,
            classes=np.repeat(np.arange(CLASSES), EACH),
            ranks=ranks,
            r_precision=draw.random(count),
            map_at_r=draw.random(count),
            lonely=0,
            gallery=count,
        )
        details = {
            "machine": {"device": "abacus", "threads": 1, "torch": "2"},
            "images": {"pack": "digits-8px"},
            "similarity": "cosine",
            "utilization": 0.25 + 0.01 * int(words["seed"]) if mixed else None,
            "alignment": 0.5,
            "uniformity": -1.25,
        }
        save_retrieval(run / "eval" / "retrieval", found, list("abcde"), details)


def retrieval_table(folder: Path, seeds: str = "[0]") -> Table:
    path = folder / "mixed.yaml"
    path.write_text(RETRIEVAL_FILE.format(seeds=seeds))
    return Table.read(path)


def found_by(table: Table, output: Path, row: str, seed: int) -> Retrieval:
    (cell,) = [cell for cell in table.cells if (cell.row, cell.seed) == (row, seed)]
    (result,) = cell.folder(output).glob("*/eval/retrieval/result.json")
    return read_retrieval(result.parent).retrieval


def percent(values: list[float], factor: float) -> str:
    half = factor * statistics.stdev(values) / math.sqrt(len(values))
    return f"{100 * statistics.mean(values):.2f} +- {100 * half:.2f}"


def test_rows_of_retrieval_are_paired_by_query_with_the_loss_of_their_name(tmp_path: Path) -> None:
    table = retrieval_table(tmp_path)
    fill(table, tmp_path, RetrievalLaboratory())
    page = report(table, tmp_path)
    header = "| row | R@1, % | difference, points | MAP@R, % | utilization | alignment | uniformity | seeds |"
    assert header in page
    rows = cells_of(page, "retrieval")
    for loss in ("soft", "hard"):
        clean, mixed = (found_by(table, tmp_path, row, 0) for row in (loss, f"{loss}+mixed"))
        # Recall@1 is known from the ranks, whichever K were asked for.
        right = [[float(rank == 1) for rank in found.ranks] for found in (clean, mixed)]
        maps = [percent(found.map_at_r.tolist(), 1.96) for found in (clean, mixed)]
        assert rows[loss] == [percent(right[0], 1.96), "", maps[0], "", "0.5000", "-1.2500", "0", "12"]
        difference = percent([b - a for a, b in zip(*right, strict=True)], 1.96)
        assert rows[f"{loss}+mixed"][:4] == [
            percent(right[1], 1.96),
            f"{difference} to {loss}",
            maps[1],
            "0.2500",
        ]
    assert "40 queries among 40 images by cosine, sha256" in page
    assert "over queries, of one seed (differences paired)" in page


def test_seeds_of_retrieval_have_student_intervals(tmp_path: Path) -> None:
    table = retrieval_table(tmp_path, "[0, 1, 2]")
    fill(table, tmp_path, RetrievalLaboratory())
    row = cells_of(report(table, tmp_path), "retrieval")["hard+mixed"]
    recalls = {
        name: [float((found_by(table, tmp_path, name, seed).ranks == 1).mean()) for seed in range(3)]
        for name in ("hard", "hard+mixed")
    }
    student = 4.302653
    differences = [b - a for a, b in zip(recalls["hard"], recalls["hard+mixed"], strict=True)]
    assert row[:2] == [percent(recalls["hard+mixed"], student), f"{percent(differences, student)} to hard"]
    assert row[3:] == ["0.2600", "0.5000", "-1.2500", "0, 1, 2", "12"]


def test_other_queries_are_not_compared(tmp_path: Path) -> None:
    table, run = retrieval_table(tmp_path), RetrievalLaboratory(stop_at=3)
    with pytest.raises(InputError, match="stopped"):
        fill(table, tmp_path, run)
    other = RetrievalLaboratory()
    other.queries = 1
    fill(table, tmp_path, other)
    with pytest.raises(InputError, match="different queries"):
        report(table, tmp_path)


def test_a_table_of_retrieval_that_was_not_run_yet(tmp_path: Path) -> None:
    rows = cells_of(report(retrieval_table(tmp_path), tmp_path), "retrieval")
    assert rows["soft+mixed"] == ["not run yet", *[""] * 7]


STREAM_FILE = """
title: Streams
cost: nothing
seeds: {seeds}
baseline: lower
settings:
  digits:
    train: [recipe=continual]
    evaluate:
      TIL: [evaluation=continual]
      CIL: [evaluation=continual, evaluation.predict=class_incremental]
rows:
  lower: [loss=soft]
  upper: [loss=hard]
"""


def accuracy_after_each_task(words: dict[str, str], kind: str) -> NDArray[np.float64]:
    draw = np.random.default_rng((words["loss"] == "hard", kind == "task_incremental", int(words["seed"])))
    return np.where(np.tri(3, dtype=bool), draw.random((3, 3)), np.nan)


class StreamLaboratory(Laboratory):
    """Leaves results of streams of three tasks."""

    stream = "c" * 64

    def evaluate(self, run: Path, given: dict[str, str]) -> None:
        words = json.loads((run / "words.json").read_text())
        predict = given.get("evaluation.predict", "task_incremental")
        arrays = {kind: accuracy_after_each_task(words, kind) for kind in KINDS}
        summary = {
            "kind": "continual",
            "predict": predict,
            "evaluated": "test",
            "scenario": {"tasks": [4, 4, 4], "sha256": self.stream},
            "cost": {"kept_bytes": 2_500_000},
            "machine": {"device": "abacus", "threads": 1, "torch": "2"},
        }
        write_summary_and_arrays(run / "eval" / f"continual-{predict}", summary, {}, ARRAYS, arrays)


def stream_table(folder: Path, seeds: str = "[0]") -> Table:
    path = folder / "streams.yaml"
    path.write_text(STREAM_FILE.format(seeds=seeds))
    return Table.read(path)


@pytest.mark.parametrize(("label", "kind"), [("TIL", "task_incremental"), ("CIL", "class_incremental")])
def test_rows_of_streams_are_paired_by_task(tmp_path: Path, label: str, kind: str) -> None:
    table = stream_table(tmp_path)
    fill(table, tmp_path, StreamLaboratory())
    page = report(table, tmp_path)
    assert (
        "| row | final average, % | difference to lower, points | forgetting, points | BWT, points "
        "| learning accuracy, % | kept, MB | seeds | training, s |"
    ) in page
    row = cells_of(page, label)["upper"]
    ours, theirs = (accuracy_after_each_task({"loss": x, "seed": "0"}, kind) for x in ("hard", "soft"))
    forgotten = [max(ours[0, 0], ours[1, 0]) - ours[2, 0], ours[1, 1] - ours[2, 1]]
    assert row == [
        percent(list(ours[2]), 1.96),
        percent(list(ours[2] - theirs[2]), 1.96),
        percent(forgotten, 1.96),
        percent([ours[2, 0] - ours[0, 0], ours[2, 1] - ours[1, 1]], 1.96),
        percent([ours[0, 0], ours[1, 1], ours[2, 2]], 1.96),
        "2.5000",
        "0",
        "12",
    ]
    assert "3 tasks of 4 classes, test images, stream sha256 cccccccccccc" in page


def test_seeds_of_streams_have_their_mean_and_spread(tmp_path: Path) -> None:
    table = stream_table(tmp_path, "[0, 1, 2]")
    fill(table, tmp_path, StreamLaboratory())
    row = cells_of(report(table, tmp_path), "CIL")["lower"]
    runs = [accuracy_after_each_task({"loss": "soft", "seed": s}, "class_incremental") for s in "012"]
    assert row[0] == percent([float(a[2].mean()) for a in runs], 4.302653)
    assert row[4] == percent([float(np.diagonal(a).mean()) for a in runs], 4.302653)
    assert row[6] == "0, 1, 2"


def test_other_streams_are_not_compared(tmp_path: Path) -> None:
    table, run = stream_table(tmp_path), StreamLaboratory(stop_at=3)
    with pytest.raises(InputError, match="stopped"):
        fill(table, tmp_path, run)
    other = StreamLaboratory()
    other.stream = "d" * 64
    fill(table, tmp_path, other)
    with pytest.raises(InputError, match="different streams"):
        report(table, tmp_path)


# --- the file and the verb --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "old,new,message",
    [
        ("baseline: plain", "baseline: plane", "the baseline plane is not a row"),
        ("cost: nothing", "", "cost"),
        ("    train: [data=glyphs, steps=7]\n", "", "train"),
        ("baseline: plain", "baseline: {plane: plain}", "the baseline plane is not a row"),
        ("baseline: plain", "baseline: {plain: plane}", "the baseline plane is not a row"),
        ("settings:", "setting:", "settings"),
        ("rows:", "rows: [1", "cannot be read"),
    ],
)
def test_a_mistake_in_the_file_is_one_error(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "two.yaml"
    path.write_text(FILE.format(seeds="[0]").replace(old, new))
    with pytest.raises(InputError, match=message):
        Table.read(path)


def test_an_unknown_table_names_those_there_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "other.yaml").touch()
    (tmp_path / "one.yaml").touch()
    with pytest.raises(InputError, match="there is no table tow; the tables are one, other"):
        Table.read(tmp_path / "tow.yaml")
    with pytest.raises(InputError, match=r"there is no table susanna; the tables are .*susana"):
        verb.run(["susanna"])


@pytest.mark.parametrize(
    "words,message",
    [([], "needs the name"), (["output=x"], "needs the name"), (["susana", "report=yes"], "report=yes")],
)
def test_a_mistake_on_the_command_line(words: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        verb.run(words)


def test_a_report_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)
    assert verb.run(["susana", "report=true", f"output={tmp_path}"]) == 0
    page = tmp_path / "susana" / "table.md"
    assert page.read_text() in capsys.readouterr().out
    assert page.read_text().count("not run yet") == 24


def test_a_failing_run_ends_the_table_and_names_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEWSHOT_DATA", str(tmp_path / "nothing"))
    with pytest.raises(InputError, match=r"table susana: train .*cifar_fs.* ended with status 2"):
        verb.run(["susana", f"output={tmp_path / 'out'}"])


def test_a_stopped_table_stops_its_training_too(tmp_path: Path) -> None:
    """Or the next start would resume a run that is still going on."""
    environment = {**os.environ, "FEWSHOT_DATA": str(tmp_path / "data"), "OMP_NUM_THREADS": "1"}
    words = [
        "-m",
        "fewshot",
        "table",
        "susana",
        f"output={tmp_path / 'out'}",
        "data=glyphs",
        "backbone.width=8",
    ]
    process = subprocess.Popen([sys.executable, *words], env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if any(path.stat().st_size > 0 for path in tmp_path.glob("out/**/metrics.jsonl")):
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    (record,) = tmp_path.glob("out/**/run.json")
    assert json.loads(record.read_text())["status"] == "stopped"


# --- the whole way ----------------------------------------------------------------------------------


def test_a_small_table_from_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEWSHOT_DATA", str(tmp_path / "data"))
    path = tmp_path / "tiny.yaml"
    path.write_text(
        """
title: Tiny
cost: seconds
seeds: [0]
baseline: ce
settings:
  glyphs:
    train: [backbone.width=8, steps=5, validation.every=0, precision=float32, data.images_per_class=6,
            shots=1, queries=3]
    evaluate: {5-way 1-shot: [shots=1, queries=3, episodes=40],
               curve: ['shots=[1,3]', queries=3, episodes=40]}
rows:
  ce: ['loss=susana', 'loss.terms=[cross_entropy]']
  ce+pt: ['loss=susana', 'loss.terms=[cross_entropy,proto_triplet]']
"""
    )
    table = Table.read(path)
    calls: list[str] = []

    def run(name: str, words: Sequence[str]) -> None:
        calls.append(name)
        assert {"train": train, "eval": eval_}[name].run(list(words)) == 0

    monkeypatch.chdir(tmp_path)
    fill(table, Path("runs"), run, ["threads=1"])
    assert calls == ["train", "eval", "eval"] * 2
    page = report(table, Path("runs"))
    for label in ("5-way 1-shot", "curve"):
        rows = cells_of(page, label)
        for row in ("ce", "ce+pt"):
            mean, half = (float(part) for part in rows[row][0].split(" +- "))
            assert 20 < mean < 100 and 0 < half < 10
        difference = float(rows["ce+pt"][1].split(" +- ")[0])
        means = [float(rows[row][0].split(" +- ")[0]) for row in ("ce", "ce+pt")]
        assert difference == pytest.approx(means[1] - means[0], abs=0.011)
    fill(table, Path("runs"), run)
    assert len(calls) == 6


def test_a_small_table_of_retrieval_from_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEWSHOT_DATA", str(tmp_path / "data"))
    path = tmp_path / "tiny.yaml"
    path.write_text(
        """
title: Tiny
cost: seconds
seeds: [0]
baseline: {contrastive+embedding: contrastive}
settings:
  glyphs:
    train: [recipe=retrieval, backbone.width=8, steps=5, validation.every=0, precision=float32,
            data.images_per_class=4, data.size=16]
    evaluate: {retrieval: [evaluation=retrieval, evaluation.clustering=false]}
rows:
  contrastive: [loss=contrastive]
  contrastive+embedding: [loss=contrastive, mixup=embedding]
"""
    )
    table = Table.read(path)

    def run(name: str, words: Sequence[str]) -> None:
        assert {"train": train, "eval": eval_}[name].run(list(words)) == 0

    monkeypatch.chdir(tmp_path)
    fill(table, Path("runs"), run, ["threads=1"])
    rows = cells_of(report(table, Path("runs")), "retrieval")
    clean, mixed = (float(rows[row][0].split(" +- ")[0]) for row in ("contrastive", "contrastive+embedding"))
    difference = rows["contrastive+embedding"][1]
    assert 0 < clean < 100
    assert float(difference.split(" +- ")[0]) == pytest.approx(mixed - clean, abs=0.011)
    assert all(float(rows["contrastive"][column]) for column in (3, 4, 5))
