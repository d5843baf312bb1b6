"""The retrieval recipe through the command line: trained, chosen on held-out classes, measured, resumed."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from programs import only_run, program, same

from fewshot.data.sources.folder import ImageFolder
from fewshot.errors import InputError
from fewshot.evaluation.retrieval_result import read_retrieval
from fewshot.recipes import retrieval, retrieval_evaluation
from fewshot.recipes.model import load_model
from fewshot.recipes.subject import Subject

SMALL = [
    "recipe=retrieval",
    "threads=1",
    "precision=float32",
    "backbone.width=8",
    "head.dim=16",
    "sampler.classes=5",
    "sampler.images=3",
    "validation.every=5",
]
PICTURES = ["data=folder", "data.size=16", "data.split=auto"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with one finished run on colours: 10 training and 4 test classes, none for validation."""
    folder = tmp_path_factory.mktemp("work")
    draw = np.random.default_rng(0)
    for number in range(14):
        below = folder / "colours" / ("train" if number < 10 else "test") / f"colour{number:02d}"
        below.mkdir(parents=True)
        colour = draw.integers(30, 226, 3)
        for image in range(6):
            pixels = np.clip(colour + draw.normal(0, 20, (16, 16, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(below / f"{image}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEWSHOT_DATA", str(folder / "data"))
        program("train.py", *colours(folder), "steps=20", "name=chosen", cwd=folder)
        yield folder


def colours(place: Path) -> list[str]:
    return [*SMALL, *PICTURES, f"data.path={place / 'colours'}"]


def record(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "run.json").read_text())
    return found


def summary(run: Path, pattern: str = "*retrieval*") -> dict[str, Any]:
    (result,) = run.glob(f"eval/{pattern}/result.json")
    found: dict[str, Any] = json.loads(result.read_text())
    return found


# --- training -------------------------------------------------------------------------------------


def test_the_weights_are_chosen_on_held_out_training_classes(place: Path) -> None:
    run = only_run(place / "runs")
    kept = record(run)
    assert kept["recipe"] == "retrieval" and kept["status"] == "finished"
    chosen = "chosen on 2 held-out training classes (Recall@1)"
    assert kept["selection"] == chosen
    model = load_model(run / "best.pt", torch.device("cpu"))
    assert model.selection == chosen and model.classes is not None
    # Eight of the ten training classes, and none of the test classes.
    assert len(model.classes) == 8 and {int(name[-2:]) for name in model.classes} < set(range(10))
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    validated = [line for line in lines if "val/recall_at_1" in line]
    assert [line["step"] for line in validated] == [5, 10, 15, 20]
    assert max(line["val/recall_at_1"] for line in validated) == kept["best"]


def test_another_seed_holds_out_other_classes_and_a_share_is_kept(place: Path, tmp_path: Path) -> None:
    known = set()
    for seed in (1, 2, 3):
        output = tmp_path / str(seed)
        words = [f"seed={seed}", "validation.held_out=0.4", "steps=1", f"output_dir={output}"]
        done = program("train.py", *colours(place), *words, cwd=place)
        assert "4 of 10 training classes are held out to choose by" in done.stderr
        known.add(load_model(only_run(output) / "best.pt", torch.device("cpu")).classes)
    assert len(known) == 3 and all(classes is not None and len(classes) == 6 for classes in known)


def test_without_validation_all_classes_train_and_the_last_weights_stay(place: Path, tmp_path: Path) -> None:
    words = ["validation.every=0", "steps=3", f"output_dir={tmp_path}"]
    done = program("train.py", *colours(place), *words, cwd=place)
    run = only_run(tmp_path)
    model = load_model(run / "best.pt", torch.device("cpu"))
    assert model.classes is not None and len(model.classes) == 10 and model.step == 3
    assert record(run)["selection"] == model.selection == "last weights, no selection"
    assert "weights    last weights, no selection" in done.stdout


def test_a_split_with_validation_classes_uses_them(place: Path, tmp_path: Path) -> None:
    glyphs = ["data.images_per_class=4", "data.size=16", "steps=2", f"output_dir={tmp_path}"]
    done = program("train.py", *SMALL, *glyphs, cwd=place)
    assert "held out" not in done.stderr
    run = only_run(tmp_path)
    assert record(run)["selection"] == "chosen on 162 validation classes (Recall@1)"
    # The saved config names the split that null stood for, whatever a later version may mean by it.
    assert yaml.safe_load((run / "config.yaml").read_text())["data"]["split"] == "scripts"


def test_the_episodes_of_few_shot_can_be_held_out_too(place: Path, tmp_path: Path) -> None:
    words = [word for word in SMALL if "sampler" not in word and "recipe" not in word and "head" not in word]
    task = ["ways=2", "shots=1", "queries=2", "validation.episodes=5", "steps=2", f"output_dir={tmp_path}"]
    data = [*PICTURES, f"data.path={place / 'colours'}"]
    program("train.py", *words, *data, *task, cwd=place)
    run = only_run(tmp_path)
    assert record(run)["selection"] == "chosen on 2 held-out training classes (2-way 1-shot)"


class Interrupted(retrieval.RecallValidation):
    """A validation during which the process is asked to stop, once."""

    asked = False

    def __call__(self, embedder: Any) -> dict[str, float]:
        if not Interrupted.asked:
            Interrupted.asked = True
            os.kill(os.getpid(), signal.SIGTERM)
        return super().__call__(embedder)


@pytest.mark.parametrize(
    "further",
    [
        [],
        ["memory=cross_batch", "memory.size=32", "mixup=embedding"],
        ["loss=proxy_anchor", "sampler=hard_classes", "sampler.group=2", "sampler.refresh=1"],
    ],
    ids=["plain", "memory and mixup", "hard classes"],
)
def test_a_stopped_run_ends_with_the_same_bits(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, further: list[str]
) -> None:
    words = [*colours(place), *further, "steps=15"]
    program("train.py", *words, f"output_dir={tmp_path / 'straight'}", cwd=place)
    monkeypatch.setattr(Interrupted, "asked", False)
    with monkeypatch.context() as patch:
        patch.setattr(retrieval, "RECIPE", replace(retrieval.RECIPE, validation=Interrupted))
        with pytest.raises(SystemExit, match="143"):
            program("train.py", *words, f"output_dir={tmp_path / 'stopped'}", cwd=place)
    run, straight = only_run(tmp_path / "stopped"), only_run(tmp_path / "straight")
    assert record(run)["status"] == "stopped" and torch.load(run / "last.pt")["outcome"]["steps"] == 5
    # The recipe is the run's own: none is typed.
    program("train.py", f"resume={run}", cwd=place)
    assert record(run)["status"] == "finished" and record(run)["recipe"] == "retrieval"
    for name in ("last.pt", "best.pt"):
        assert same(torch.load(run / name), torch.load(straight / name)), name


def test_a_run_of_the_first_version_goes_on(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its config has no mixup, no memory and no share to hold out."""
    words = [*SMALL, "data.images_per_class=4", "data.size=16", "steps=10", f"output_dir={tmp_path}"]
    monkeypatch.setattr(Interrupted, "asked", False)
    with monkeypatch.context() as patch:
        patch.setattr(retrieval, "RECIPE", replace(retrieval.RECIPE, validation=Interrupted))
        with pytest.raises(SystemExit):
            program("train.py", *words, cwd=place)
    run = only_run(tmp_path)
    config = yaml.safe_load((run / "config.yaml").read_text())
    del config["mixup"], config["memory"], config["validation"]["held_out"]
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    program("train.py", f"resume={run}", cwd=place)
    assert record(run)["status"] == "finished"


# --- evaluation -----------------------------------------------------------------------------------


def test_evaluation_measures_the_newest_retrieval_run(place: Path) -> None:
    done = program("eval.py", "evaluation=retrieval", "evaluation.recall_at=[1,3]", cwd=place)
    run = only_run(place / "runs")
    found = summary(run, "*retrieval1-3*")
    assert found["selection"] == "chosen on 2 held-out training classes (Recall@1)"
    assert found["leak"] == "unseen classes of the data it was trained on"
    assert (found["queries"], found["gallery"], found["clusters"]) == (24, 24, 4)

    # Naive: each test image against all others, by cosine.
    model = load_model(run / "best.pt", torch.device("cpu"))
    source = ImageFolder(path=str(place / "colours"), size=16)
    from fewshot.data.catalogue import open_image_set

    images = open_image_set(source)
    names = source.class_split(images.class_names).test
    chosen = [i for i in range(len(images)) if images.class_names[images.labels[i]] in names]
    with torch.inference_mode():
        made = model.embedder.embed(images.gather(torch.tensor(chosen))).double()
    unit = made / made.norm(dim=1, keepdim=True)
    labels = images.labels[chosen].tolist()
    hits = {1: 0, 3: 0}
    for i in range(len(chosen)):
        order = sorted((j for j in range(len(chosen)) if j != i), key=lambda j: -float(unit[i] @ unit[j]))
        for k in hits:
            hits[k] += labels[i] in [labels[j] for j in order[:k]]
    for k, count in hits.items():
        assert found["measures"][f"recall@{k}"]["mean"] == pytest.approx(count / len(chosen))
    trained = [i for i in range(len(images)) if images.class_names[images.labels[i]] in (model.classes or ())]
    with torch.inference_mode():
        seen = model.embedder.embed(images.gather(torch.tensor(trained))).double()
    seen = seen / seen.norm(dim=1, keepdim=True)
    nearest = [min(float((q - x).square().sum()) for x in seen) for q in unit]
    # The held-out classes were not trained on, and so are no training images.
    assert len(trained) == 8 * 6
    assert found["utilization"] == pytest.approx(sum(nearest) / len(nearest), rel=1e-4)

    recall = found["measures"]["recall@1"]
    for line in (
        f"R@1        {100 * recall['mean']:.2f} +- {100 * recall['interval']:.2f} %",
        "weights    chosen on 2 held-out training classes (Recall@1)",
        "MAP@R",
        "NMI, AMI",
        f"utilization {found['utilization']:.4f}",
        f"alignment  {found['alignment']:.4f}",
        f"uniformity {found['uniformity']:.4f}",
    ):
        assert line in done.stdout, line


def test_it_is_the_same_twice_and_from_the_cache(place: Path) -> None:
    run, seen = only_run(place / "runs"), []
    for cache in ("false", "true", "true"):
        words = ["evaluation=retrieval", "evaluation.similarity=euclidean", f"cache={cache}"]
        program("eval.py", *words, cwd=place)
        (result,) = run.glob("eval/*_euclidean_*/result.json")
        saved = read_retrieval(result.parent)
        seen.append(
            (saved.retrieval.ranks.tolist(), [saved.summary[k] for k in ("nmi", "ami", "uniformity")])
        )
    assert seen[0] == seen[1] == seen[2]


def test_measures_can_be_left_out(place: Path) -> None:
    words = ["evaluation=retrieval", "evaluation.clustering=false", "evaluation.representation=false"]
    done = program("eval.py", *words, "evaluation.recall_at=1", cwd=place)
    assert "R@1 " in done.stdout and "NMI" not in done.stdout and "uniformity" not in done.stdout
    found = summary(only_run(place / "runs"), "*retrieval1_cosine")
    assert "nmi" not in found and "alignment" not in found


def test_utilization_needs_training_images_that_are_not_evaluated(place: Path) -> None:
    for words in (["part=train"], ["data=glyphs", "data.images_per_class=4", "data.size=16"]):
        done = program("eval.py", "evaluation=retrieval", *words, cwd=place)
        assert "utilization not measured" in done.stdout
    found = summary(only_run(place / "runs"), "glyphs*")
    assert found["utilization"] is None and found["leak"].startswith("cross-domain")


def test_queries_and_gallery_are_those_of_the_owner(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def divided(self: ImageFolder, names: list[str]) -> tuple[np.ndarray, np.ndarray]:
        first = np.array([name.endswith(("0.png", "1.png")) for name in names])
        return first, ~first

    monkeypatch.setattr(ImageFolder, "query_gallery", divided)
    program("eval.py", "evaluation=retrieval", "evaluation.recall_at=2", cwd=place)
    found = summary(only_run(place / "runs"), "*retrieval2_*")
    assert (found["queries"], found["gallery"]) == (4 * 2, 4 * 4)


def test_each_evaluation_takes_any_run_and_by_itself_its_own_kind(place: Path) -> None:
    run = only_run(place / "runs")
    missing = program("eval.py", cwd=place, check=False)
    assert missing.returncode == 2 and "no finished few_shot run below runs" in missing.stderr
    task = ["ways=2", "shots=1", "queries=2", "episodes=20"]
    done = program("eval.py", f"run={run}", *task, cwd=place)
    # On the split that the run was trained on, not the one of the few-shot protocol.
    assert "unseen classes of the data it was trained on" in done.stdout and "1-shot" in done.stdout


def test_evaluation_never_mixes(place: Path) -> None:
    for word in ("mixup=feature", "evaluation.mixup=feature"):
        done = program("eval.py", "evaluation=retrieval", word, cwd=place, check=False)
        assert done.returncode == 2 and "mixup" in done.stderr
    for module in (retrieval_evaluation, Subject):
        assert not [name for name in vars(module) if "mix" in name.lower()]


# --- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name,words,message",
    [
        ("eval.py", ["evaluation=retrival"], "did you mean 'retrieval'?"),
        ("eval.py", ["evaluation=null"], "the choices are continual, few_shot, maml, retrieval"),
        ("eval.py", ["evaluation.recall_at=1"], "evaluation=few_shot has no option 'recall_at'"),
        ("eval.py", ["evaluation=retrieval", "evaluation.recall_at=0"], "evaluation.recall_at=0 must be"),
        ("eval.py", ["evaluation=retrieval", "evaluation.recall_at=[]"], "must be a number from 1 on"),
        ("eval.py", ["evaluation=retrieval", "evaluation.recall_at=a"], "evaluation.recall_at: expected int"),
        ("eval.py", ["evaluation=retrieval", "evaluation.similarity=cos"], "one of cosine, euclidean"),
        ("eval.py", ["evaluation=retrieval", "evaluation.clusterin=false"], "did you mean 'clustering'?"),
        ("eval.py", ["evaluation=retrieval", "shots=5"], "shots=5: evaluation=retrieval has no episodes"),
        ("eval.py", ["evaluation=retrieval", "classifier=cl2n"], "evaluation=retrieval has no episodes"),
        ("eval.py", ["evaluation=retrieval", "part=testt"], "part=testt"),
        ("eval.py", ["evaluation=retrieval", "output_dir=empty"], "no finished retrieval run below empty"),
        ("eval.py", ["evaluation=retrieval", "part=val"], "val part has no classes"),
        ("train.py", ["recipe=retrival"], "did you mean 'retrieval'?"),
        ("train.py", ["mixup=featur"], "did you mean 'feature'?"),
        ("train.py", ["mixup=null"], "write mixup=none"),
        ("train.py", ["memory=cross"], "there is no memory=cross"),
        ("train.py", ["validation.held_out=1.5"], "validation.held_out=1.5 must be"),
        ("train.py", ["validation.held_out=-0.1"], "validation.held_out=-0.1 must be"),
        ("train.py", ["validation.held_out=0"], "has no validation classes to choose by"),
        ("train.py", ["validation.held_out=half"], "validation.held_out: expected float"),
        ("train.py", ["loss=prototypical"], "use sampler=episodes"),
        ("train.py", ["sampler.classes=9"], "classes=9"),
        ("train.py", ["~optimizer.lr"], "optimizer.lr: needs a number"),
        ("train.py", ["ways=3"], "ways=3: recipe=retrieval draws episodes with sampler=episodes alone"),
        ("train.py", ["classifier.similarity=cosine"], "classifier.similarity=cosine: recipe=retrieval"),
        ("train.py", ["classifier=cosine"], "classifier=cosine: recipe=retrieval chooses by Recall@1"),
        ("train.py", ["validation.episodes=9"], "validation.episodes=9: recipe=retrieval chooses by"),
        ("train.py", ["+mixup.alpha=1"], "mixup.alpha: mixup=none has no options"),
        ("train.py", ["loss=info_nce", "mixup=feature", "mixup.draw=batch"], "would be a constant"),
    ],
)
def test_a_mistake_is_one_line(
    place: Path, tmp_path: Path, name: str, words: list[str], message: str
) -> None:
    given = words if name == "eval.py" else [*colours(place), *words, f"output_dir={tmp_path / 'runs'}"]
    done = program(name, *given, cwd=place, check=False)
    lines = [line for line in done.stderr.strip().splitlines() if "held out to choose by" not in line]
    assert done.returncode == 2 and len(lines) == 1, done.stderr
    assert message in lines[0]
    assert not (tmp_path / "runs").exists()


def test_labels_that_know_the_answer_are_refused() -> None:
    for labels, message in (([4, 4, 4], "one test class finds nothing else"), ([1, 2, 3], "none of the 3")):
        with pytest.raises(InputError, match=message):
            retrieval.refuse_senseless(np.array(labels), "test")
    retrieval.refuse_senseless(np.array([1, 2, 2]), "test")


def test_a_data_set_of_one_class_is_one_line(place: Path, tmp_path: Path) -> None:
    for below in (tmp_path / "one" / "train" / "red", tmp_path / "one" / "test" / "blue"):
        below.mkdir(parents=True)
        Image.new("RGB", (16, 16), below.name).save(below / "a.png")
    words = [*SMALL, *PICTURES, f"data.path={tmp_path / 'one'}", f"output_dir={tmp_path / 'runs'}"]
    done = program("train.py", *words, cwd=place, check=False)
    (line,) = [line for line in done.stderr.strip().splitlines() if not line.startswith("packing")]
    assert done.returncode == 2 and "of 1 training classes, 2 cannot be held out" in line
