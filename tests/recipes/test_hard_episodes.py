"""General episodes and fitted temperatures through the command line: results, their pages, and mistakes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from programs import only_run, program

from fewshot.cli.verbs import main
from fewshot.recipes import calibrated
from fewshot.recipes.subject import Subject

KINDS = ("variable", "imbalanced_support", "dirichlet_queries", "open_set", "coarse")
SMALL = ["threads=1", "precision=float32", "backbone.width=8", "steps=20", "validation.every=0"]
FEW = ["shots=3", "ways=4", "queries=5", "episodes=40", "threads=1"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, packed: Path) -> Iterator[Path]:
    """A working directory with two runs."""
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEWSHOT_DATA", str(packed))
        for name, loss in (("0", "prototypical"), ("1", "matching")):
            program("train.py", *SMALL, f"loss={loss}", f"output_dir={folder}/{name}", cwd=folder)
        yield folder


def result(run: Path, part: str) -> dict[str, object]:
    (path,) = (run / "eval").glob(f"*{part}*/result.json")
    found: dict[str, object] = json.loads(path.read_text())
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_one_word(place: Path, kind: str) -> None:
    for seed in ("0", "1"):
        done = program("eval.py", *FEW, f"episode={kind}", f"run={only_run(place / seed)}", cwd=place)
    run = only_run(place / "1")
    found = result(run, kind.split("_")[0])
    (episodes,) = (run / "eval").glob(f"*{kind.split('_')[0]}*/episodes.npz")
    assert f"{100 * float(str(found['accuracy'])):.2f} +- " in done.stdout
    assert found["episodes"] == 40 and str(found["testbed_sha256"])[:12] in done.stdout
    with np.load(episodes) as arrays:
        assert arrays["accuracies"].mean() == pytest.approx(found["accuracy"])
    assert ("AUROC" in done.stdout) == (kind == "open_set")


def test_compare_pairs_the_same_episodes_and_refuses_others(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [only_run(place / seed) for seed in ("0", "1")]
    folders = []
    for run in runs:
        program("eval.py", *FEW, "episode=variable", "seed=5", f"run={run}", cwd=place)
        (folder,) = (path.parent for path in (run / "eval").glob("*variable*seed5*/result.json"))
        folders.append(folder)
    capsys.readouterr()
    assert main(["compare", *map(str, folders)]) == 0
    assert "variable, 2 to 4 ways" in capsys.readouterr().out
    program("eval.py", *FEW, "seed=5", f"run={runs[1]}", cwd=place)
    found = (path.parent for path in (runs[1] / "eval").glob("*_4w3s5q_*seed5*/result.json"))
    (balanced,) = (path for path in found if "variable" not in path.name)
    assert main(["compare", str(folders[0]), str(balanced)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_report_shows_a_general_result(place: Path, tmp_path: Path) -> None:
    run = only_run(place / "0")
    program("eval.py", *FEW, "episode=open_set", "temperature=fit", "seed=9", f"run={run}", cwd=place)
    assert main(["report", str(run), f"output={tmp_path}"]) == 0
    (page,) = tmp_path.glob("*.html")
    text = page.read_text()
    assert "AUROC" in text and "unknown classes" in text


def test_a_temperature_is_fitted_on_validation_alone(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    embed, fit = Subject.embed, calibrated.fitted_temperature

    def watched(self: Subject, images: object, part: str) -> object:
        seen.append(part)
        return embed(self, images, part)  # type: ignore[arg-type]

    def fitting(groups: object) -> float:
        seen.append("fit")
        return fit(groups)  # type: ignore[arg-type]

    scored: list[int] = []
    scores = calibrated.closed_set_scores

    def counted(embeddings: object, episodes: object, classifier: object) -> object:
        scored.append(id(embeddings))
        seen.append("scores")
        return scores(embeddings, episodes, classifier)  # type: ignore[arg-type]

    monkeypatch.setattr(Subject, "embed", watched)
    monkeypatch.setattr(calibrated, "fitted_temperature", fitting)
    monkeypatch.setattr(calibrated, "closed_set_scores", counted)
    run = only_run(place / "0")
    done = program("eval.py", *FEW, "temperature=fit", "seed=3", f"run={run}", cwd=place)
    assert seen == ["test", "val", "scores", "fit", "scores"], "the test scores come after the fit"
    assert "fitted on 40 validation episodes" in done.stdout
    (path,) = (run / "eval").glob("*_4w3s5q_*seed3*/result.json")
    before, after = json.loads(path.read_text())["calibration"]["3"]["validation"]
    assert after["nll"] <= before["nll"]


def test_an_assumption_that_does_not_hold_is_told(place: Path) -> None:
    run = only_run(place / "0")
    words = [*FEW, "classifier=pt_map", "seed=4", f"run={run}"]
    done = program("eval.py", *words, "episode=dirichlet_queries", cwd=place)
    assert "note       pt_map assumes as many queries of each class" in done.stdout
    (path,) = (run / "eval").glob("*dirichlet*pt_map*seed4*/result.json")
    assert "assumes as many queries" in json.loads(path.read_text())["assumption"]
    assert "note" not in program("eval.py", *words, cwd=place).stdout
    assert "note" not in program("eval.py", *words, "episode=imbalanced_support", cwd=place).stdout


@pytest.mark.parametrize(
    "words, says",
    [
        (["episodes=open_set"], "write episode=open_set"),
        (["episode=open"], "there is no episode=open"),
        (["episode=variable", "shots=[1,5]"], "takes one number"),
        (["episode=open_set", "episode.unknown_ways=0"], "episode.unknown_ways=0"),
        (["episode=open_set", "ways=200", "episode.unknown_ways=500"], "needs 700 classes"),
        (["episode=coarse", "ways=200"], "ways=200"),
        (["episode=imbalanced_support", "shots=1"], "nothing is uneven"),
        (["episode=dirichlet_queries", "episode.alpha=0"], "episode.alpha=0"),
        (["temperature=2"], "temperature=2 must be fit"),
        (["temperature=fit", "part=val"], "part=val can't measure it"),
        (["evaluation=retrieval", "episode=variable"], "episode=variable"),
    ],
)
def test_a_mistake_is_one_line(place: Path, words: list[str], says: str) -> None:
    done = program("eval.py", f"run={only_run(place / '0')}", *words, cwd=place, check=False)
    assert done.returncode == 2 and done.stderr.strip().count("\n") == 0, done.stderr
    assert says in done.stderr
