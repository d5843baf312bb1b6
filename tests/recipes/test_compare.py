"""Runs compared on the same episodes: figures as by hand, and one line where there is nothing to compare."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from measured_runs import IMAGES, a_run, accuracies_of, few_shot_result, retrieval_result, stream_result

from fewshot.cli.conf_folder import ConfFolder
from fewshot.cli.verbs import main
from fewshot.errors import InputError
from fewshot.evaluation.result_files import SUMMARY
from fewshot.recipes.comparison import Row, compare, methods_of
from fewshot.recipes.comparison_page import escaped, latex, markdown

STUDENT = {2: 12.706205, 3: 4.302653}


def rows(*paths: Path, on: str | None = None) -> dict[str, list[Row]]:
    return compare(methods_of(paths, on, ConfFolder.found().load))


def refused(*paths: Path, on: str | None = None) -> str:
    with pytest.raises(InputError) as caught:
        rows(*paths, on=on)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def normal(values: Sequence[float]) -> tuple[float, float]:
    return statistics.mean(values), 1.96 * statistics.stdev(values) / math.sqrt(len(values))


def student(values: Sequence[float]) -> tuple[float, float]:
    return statistics.mean(values), STUDENT[len(values)] * statistics.stdev(values) / math.sqrt(len(values))


def test_two_runs_are_paired_episode_by_episode(tmp_path: Path) -> None:
    a, b = a_run(tmp_path / "a"), a_run(tmp_path / "b", "prototypical")
    for run in (a, b):
        few_shot_result(run)
    first, second = rows(a, b)["5-shot"]
    ours, theirs = accuracies_of(b).tolist(), accuracies_of(a).tolist()
    assert (first.method, second.method) == ("loss=icnn", "loss=prototypical")
    assert first.difference is None and second.difference is not None
    assert (first.mean.mean, first.mean.half_width) == pytest.approx(normal(theirs))
    differences = [x - y for x, y in zip(ours, theirs, strict=True)]
    assert (second.difference.mean, second.difference.half_width) == pytest.approx(normal(differences))
    signs = [sum(sign(d) == s for d in differences) for s in (1, 0, -1)]
    assert [second.wins, second.ties, second.losses] == signs
    assert min(signs) > 0


def sign(value: float) -> int:
    return 0 if abs(value) < 1e-9 else 1 if value > 0 else -1


def test_runs_that_differ_in_the_seed_are_one_method_with_an_interval_over_seeds(tmp_path: Path) -> None:
    runs = {
        (loss, seed): a_run(tmp_path / f"{loss}{seed}", loss, seed)
        for loss in ("icnn", "prototypical")
        for seed in (0, 1, 2)
    }
    for run in runs.values():
        few_shot_result(run)
    first, second = rows(*runs.values())["5-shot"]
    assert (first.method, first.seeds, second.seeds, second.paired) == ("loss=icnn", (0, 1, 2), (0, 1, 2), 3)
    means = {key: float(accuracies_of(run).mean()) for key, run in runs.items()}
    of_first = student([means["icnn", seed] for seed in range(3)])
    assert (first.mean.mean, first.mean.half_width) == pytest.approx(of_first)
    assert second.difference is not None
    paired = student([means["prototypical", s] - means["icnn", s] for s in range(3)])
    assert (second.difference.mean, second.difference.half_width) == pytest.approx(paired)
    assert second.wins + second.ties + second.losses == 3 * 30


def test_seeds_are_paired_where_both_have_them_and_refused_where_none_is_common(tmp_path: Path) -> None:
    ours = [a_run(tmp_path / f"a{seed}", seed=seed) for seed in (0, 1, 2)]
    theirs = [a_run(tmp_path / f"b{seed}", "nca", seed) for seed in (1, 2, 3)]
    for run in (*ours, *theirs):
        few_shot_result(run)
    _, second = rows(*ours, *theirs)["5-shot"]
    differences = [float((accuracies_of(theirs[i]) - accuracies_of(ours[i + 1])).mean()) for i in range(2)]
    assert second.paired == 2 and second.difference is not None
    assert (second.difference.mean, second.difference.half_width) == pytest.approx(student(differences))
    assert "seeds 3 and loss=icnn with 0, 1, 2" in refused(*ours, theirs[2])
    # Single runs are two trained models: any two of them can be compared.
    assert rows(ours[0], theirs[2])["5-shot"][1].paired == 1


def test_every_point_of_a_curve_that_all_have_is_compared(tmp_path: Path) -> None:
    a, b = a_run(tmp_path / "a"), a_run(tmp_path / "b", loss__k=8)
    few_shot_result(a, (1, 3, 5))
    few_shot_result(b, (1, 5))
    found = rows(a, b)
    assert list(found) == ["1-shot", "5-shot"]
    assert [row.method for row in found["1-shot"]] == ["loss.k=4", "loss.k=8"]
    one = accuracies_of(b, 1) - accuracies_of(a, 1)
    difference = found["1-shot"][1].difference
    assert difference is not None and difference.mean == pytest.approx(float(one.mean()))


def test_runs_alike_in_all_are_two_methods_called_by_their_folders(tmp_path: Path) -> None:
    a, b = a_run(tmp_path / "before"), a_run(tmp_path / "after")
    for run in (a, b):
        few_shot_result(run)
    assert [row.method for row in rows(a, b)["5-shot"]] == ["before", "after"]


def test_queries_of_retrieval_are_paired(tmp_path: Path) -> None:
    a, b = a_run(tmp_path / "a"), a_run(tmp_path / "b", "nca")
    (_, theirs), (_, ours) = retrieval_result(a), retrieval_result(b)
    found = rows(a, b)
    assert list(found) == ["R@1", "R@4", "R-precision", "MAP@R", "MRR"]
    first, second = found["R@1"]
    hits = [[float(rank == 1) for rank in result.ranks] for result in (theirs, ours)]
    assert (first.mean.mean, first.mean.half_width) == pytest.approx(normal(hits[0]))
    wins = sum(y > x for x, y in zip(*hits, strict=True))
    assert (second.wins, second.wins + second.ties + second.losses) == (wins, 40)
    difference = found["MAP@R"][1].difference
    assert difference is not None
    expected = normal([y - x for x, y in zip(theirs.map_at_r.tolist(), ours.map_at_r.tolist(), strict=True)])
    assert (difference.mean, difference.half_width) == pytest.approx(expected)


def test_streams_are_paired_task_by_task(tmp_path: Path) -> None:
    a, b = a_run(tmp_path / "a"), a_run(tmp_path / "b", "nca")
    results = [stream_result(run) for run in (a, b)]
    found = rows(a, b)
    assert list(found) == ["task-incremental, final", "class-incremental, final"]
    matrices = [np.load(folder / "matrices.npz")["class_incremental"][-1] for folder in results]
    difference = found["class-incremental, final"][1].difference
    assert difference is not None
    assert difference.mean == pytest.approx(float((matrices[1] - matrices[0]).mean()))


# --- which results ------------------------------------------------------------------------------------


def test_of_several_common_evaluations_one_is_chosen(tmp_path: Path) -> None:
    a, b = a_run(tmp_path / "a"), a_run(tmp_path / "b", "nca")
    for run in (a, b):
        few_shot_result(run, (1,), name="glyphs_3w1s", testbed="b" * 64)
        few_shot_result(run, (5,), name="glyphs_3w5s")
    said = refused(a, b)
    assert "have 2 evaluations in common; choose with on=" in said and "glyphs_3w1s, glyphs_3w5s" in said
    assert list(rows(a, b, on="w1s")) == ["1-shot"]
    assert "on=7s is part of no evaluation's name; there are glyphs_3w1s, glyphs_3w5s" in refused(
        a, b, on="7s"
    )


def test_a_result_that_a_run_lacks_is_made_by_the_command_that_is_told(tmp_path: Path) -> None:
    a, b = a_run(tmp_path / "a"), a_run(tmp_path / "b", "nca")
    few_shot_result(a, (1, 5), classifier="cl2n")
    said = refused(a, b)
    command = said.split("make it: ")[1]
    words = "classifier=cl2n ways=3 shots=[1,5] queries=4 episodes=30"
    assert command == f"python eval.py run={b} {words}"
    few_shot_result(b, (1, 5))
    assert f"{b} has no evaluation like {a}" in refused(a, b)
    few_shot_result(b, (1, 5), name="same", classifier="cl2n")
    assert list(rows(a, b)) == ["1-shot", "5-shot"]
    # The other way round, too: most runs decide which is wanted.
    c = a_run(tmp_path / "c", "nca", loss__k=9)
    assert f"run={c} classifier=cl2n" in refused(c, a, b)


def test_another_data_set_is_part_of_that_command(tmp_path: Path) -> None:
    a, b = a_run(tmp_path / "a"), a_run(tmp_path / "b", "nca", data__split="seeded", data__size=84)
    few_shot_result(a)
    assert "data=glyphs" in refused(a, b)
    c = a_run(tmp_path / "c", "nca", data__size=84)
    assert "data=glyphs" not in refused(a, c)


def test_no_evaluation_at_all(tmp_path: Path) -> None:
    a, b = a_run(tmp_path / "a"), a_run(tmp_path / "b", "nca")
    assert f"python eval.py run={a}" in refused(a, b)


def test_two_classifiers_of_one_run_by_their_folders(tmp_path: Path) -> None:
    run = a_run(tmp_path / "a")
    first = few_shot_result(run, name="prototype")
    second = few_shot_result(run, name="ridge", classifier="ridge")
    labels = [row.method for row in rows(first, second / SUMMARY)["5-shot"]]
    assert labels == ["evaluation=classifier=prototype", "evaluation=classifier=ridge"]


def test_a_transductive_result_says_so_beside_another(tmp_path: Path) -> None:
    run = a_run(tmp_path / "a")
    folders = [few_shot_result(run, name=name, classifier=name) for name in ("prototype", "tim")]
    methods = methods_of(folders, None, ConfFolder.found().load)
    page = markdown(methods, compare(methods))
    assert (
        "Transductive, so that it sees the queries of an episode together: evaluation=classifier=tim." in page
    )


def test_a_named_result_says_which_one_of_a_run_is_meant(tmp_path: Path) -> None:
    a, b = a_run(tmp_path / "a"), a_run(tmp_path / "b", "nca")
    for run in (a, b):
        few_shot_result(run, (1,), name="one", testbed="b" * 64)
        few_shot_result(run, (5,), name="five")
    assert list(rows(a / "eval" / "one", b)) == ["1-shot"]


@pytest.mark.parametrize(
    "other",
    [
        {"testbed": "b" * 64},
        {"classes": ("a", "b", "d")},
        {"images": {**IMAGES, "pack": "omniglot-28px-gray"}},
        {"images": {**IMAGES, "form": "files"}},
    ],
    ids=["testbed", "classes", "images", "form"],
)
def test_other_testbeds_and_images_are_refused(tmp_path: Path, other: dict[str, object]) -> None:
    a, b = a_run(tmp_path / "a"), a_run(tmp_path / "b", "nca")
    first, second = few_shot_result(a), few_shot_result(b, **other)  # type: ignore[arg-type]
    assert "only results on the same episodes of the same images" in refused(first, second)
    assert "has no evaluation like" in refused(a, b)


def test_the_same_images_at_another_size_are_compared(tmp_path: Path) -> None:
    a, b = a_run(tmp_path / "a"), a_run(tmp_path / "b", "nca")
    few_shot_result(a)
    few_shot_result(b, images={**IMAGES, "pack": "glyphs-84px-rgb-resize96", "size": 84})
    assert list(rows(a, b)) == ["5-shot"]


def test_few_shot_and_retrieval_are_not_compared(tmp_path: Path) -> None:
    a, b = a_run(tmp_path / "a"), a_run(tmp_path / "b", "nca")
    first, (second, _) = few_shot_result(a), retrieval_result(b)
    assert "is an evaluation of few_shot" in refused(first, second)


def test_the_folder_that_hydra_leaves_beside_the_runs_of_a_sweep_is_no_run(tmp_path: Path) -> None:
    for name, loss in (("a", "icnn"), ("b", "nca")):
        few_shot_result(a_run(tmp_path / name, loss))
    (tmp_path / "multirun").mkdir()
    (tmp_path / "multirun" / "multirun.yaml").touch()
    assert len(rows(*sorted(tmp_path.iterdir()))["5-shot"]) == 2


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    a, b = a_run(tmp_path / "a"), a_run(tmp_path / "b", seed=1)
    for run in (a, b):
        few_shot_result(run)
    assert "needs two runs" in refused(a)
    assert "is given twice" in refused(a, b, tmp_path / "b" / ".." / "a")
    assert "there is no run or result" in refused(a, tmp_path / "nothing")
    assert "neither a run" in refused(a, tmp_path)
    assert "seeds 0, 1 of one method" in refused(a, b)
    (b / "eval" / "shots" / "episodes.npz").write_bytes(b"PK nothing")
    assert "is damaged" in refused(a, b)
    (b / "eval" / "shots" / SUMMARY).write_text("[1, 2]")
    assert "is damaged" in refused(a, b)


# --- the page -----------------------------------------------------------------------------------------


def test_the_page_says_what_the_figures_are(tmp_path: Path) -> None:
    a, b = a_run(tmp_path / "a", "a|b"), a_run(tmp_path / "b", "c_d")
    few_shot_result(a)
    few_shot_result(b, leak="its classes are ImageNet classes")
    methods = methods_of([a, b], None, ConfFolder.found().load)
    page = markdown(methods, compare(methods))
    assert "Transductive" not in page
    assert r"| loss=a\|b | " in page and "they say nothing of how another training seed" in page
    assert "What the weights have seen differs: loss=a|b: unseen; loss=c_d: its classes are" in page
    assert "30 episodes of glyphs (test classes), testbed seed 0, sha256 aaaaaaaaaaaa" in page
    widths = {line.replace(r"\|", "").count("|") for line in page.splitlines() if line.startswith("|")}
    assert widths == {6}
    table = latex(methods, compare(methods))
    assert r"loss=c\_d & $" in table and r"\pm" in table
    body = [line for line in table.splitlines() if line.endswith(r"\\")]
    assert {line.count("&") for line in body} == {2}
    assert all(line.startswith("%") for line in table.split(r"\begin")[0].splitlines())


def test_latex_prints_every_character_as_it_is() -> None:
    assert escaped(r"\a~b^c&d%e$f#g_h{i}") == (
        r"\textbackslash{}a\textasciitilde{}b\textasciicircum{}c\&d\%e\$f\#g\_h\{i\}"
    )


def test_the_verb_writes_its_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = a_run(tmp_path / "a"), a_run(tmp_path / "b", "nca")
    for run in (a, b):
        few_shot_result(run)
    files = {key: tmp_path / f"page.{key}" for key in ("markdown", "latex")}
    words = [str(a), str(b), "--markdown", str(files["markdown"]), f"latex={files['latex']}"]
    assert main(["compare", *words]) == 0
    assert files["markdown"].read_text() == capsys.readouterr().out
    assert files["latex"].read_text().count(r"\\") == 3
    assert main(["compare", str(a), str(b), f"--latex={tmp_path}/none/x.tex"]) == 2
    assert re.search("cannot write latex=.*: No such file", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("A B --latx=x.tex", "there is no option --latx=x.tex; the options are on=VALUE"),
        ("A B on=", "on needs a value"),
        ("A B --on", "on needs a value"),
        ("A B on=1 on=2", "on is given twice"),
        ("", "needs two runs or more"),
    ],
)
def test_mistakes_on_the_command_line(words: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *words.split()]) == 2
    assert says in capsys.readouterr().err
