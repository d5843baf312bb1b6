"""predict.py through the command line: labels, files, page, stopping and going on, and every mistake."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import zipfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from programs import Done, only_run, program

from fewshot.cli.verbs import main
from fewshot.recipes import encoder
from fewshot.recipes.prediction_rows import Rows, read_state


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, packed: Path) -> Iterator[Path]:
    """A working directory with the demo model in miniature, and exported glyphs in `mine`."""
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEWSHOT_DATA", str(packed))
        patch.chdir(folder)
        small = ["threads=1", "precision=float32", "backbone.width=16", "validation.every=0", "name=demo"]
        program("train.py", *small, "steps=150", cwd=folder)
        assert main(["data", "export", "glyphs", "to=mine", "classes=6", "queries=8"]) == 0
        yield folder


def predict(place: Path, output: Path, *words: str, check: bool = True) -> Done:
    run = f"run={only_run(place / 'runs')}"
    given = words if any(w.startswith(("run=", "backbone=")) for w in words) else (run, *words)
    return program("predict.py", *given, f"output_dir={output}", "threads=1", cwd=place, check=check)


def result(output: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((only_run(output) / "predictions.json").read_text(encoding="utf-8"))
    return read


def agreeing(read: dict[str, Any], at: int = 0) -> float:
    """Share of the images that are called like the folder they lie in."""
    said = [p["classes"][0]["class"] == p["query"].rpartition("/")[0] for p in read["predictions"]]
    return float(np.mean(said))


@pytest.fixture(scope="module")
def labelled(place: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    output = tmp_path_factory.mktemp("labelled")
    return output, predict(place, output, "support=mine/support", "query=mine/query").stdout


def test_newest_run_labels_exported_glyphs(place: Path, labelled: tuple[Path, str]) -> None:
    output, printed = labelled
    read = result(output)
    assert agreeing(read) > 0.6 and read["labelled"] == 48
    assert read["left_out_accuracy"] > 0.6 and 0 < read["temperature"] < 1e3 and read["threshold"] > 0
    assert f"{round(48 * agreeing(read))} of 48" in printed and "48 images labelled" in printed
    assert read["unlike"] <= 12
    for row in read["predictions"]:
        probabilities = [entry["probability"] for entry in row["classes"]]
        assert len(probabilities) == 3 and probabilities == sorted(probabilities, reverse=True)
        distances = [entry["distance"] for entry in row["nearest"]]
        assert len(distances) == 3 and distances == sorted(distances)
        assert row["unlike"] == (row["spread"] > read["threshold"]) and row["same_as"] is None
    assert {path.name for path in only_run(output).iterdir()} == {
        *("config.yaml", "index.html", "predictions.csv", "predictions.json", "state.json")
    }


def test_csv_says_the_same(labelled: tuple[Path, str]) -> None:
    read = result(labelled[0])
    with (only_run(labelled[0]) / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 48
    for row, wanted in zip(rows, read["predictions"], strict=True):
        assert row["query"] == wanted["query"] and row["class"] == wanted["classes"][0]["class"]
        assert float(row["probability_2"]) == wanted["classes"][1]["probability"]
        assert row["nearest_3"] == wanted["nearest"][2]["image"]
        assert float(row["nearest_distance_1"]) == wanted["nearest"][0]["distance"]
        assert row["unlike"] == str(wanted["unlike"]).lower()


@pytest.mark.parametrize("classifier", ["cosine", "logistic", "ridge", "knn", "cl2n"])
def test_each_classifier(place: Path, tmp_path: Path, classifier: str) -> None:
    words = ("support=mine/support", "query=mine/query", f"classifier={classifier}", "top=2", "nearest=1")
    predict(place, tmp_path, *words)
    read = result(tmp_path)
    # A run of validation.every=0 computes the mean that cl2n needs as well.
    assert agreeing(read) > 0.5 and len(read["predictions"][0]["classes"]) == 2
    assert 0.3 < np.mean([row["classes"][0]["probability"] for row in read["predictions"]]) < 1


def test_one_image_a_class_and_classes_of_different_sizes(place: Path, tmp_path: Path) -> None:
    for number, folder in enumerate(sorted((place / "mine/support").iterdir())):
        for path in sorted(folder.iterdir())[: 1 if number < 3 else 4]:
            (tmp_path / "some" / folder.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, tmp_path / "some" / folder.name)
        (tmp_path / "one" / folder.name).mkdir(parents=True)
        shutil.copy(path, tmp_path / "one" / folder.name)
    for name, floor in (("some", 0.5), ("one", 0.3)):
        predict(place, tmp_path / "out" / name, f"support={tmp_path / name}", "query=mine/query")
        read = result(tmp_path / "out" / name)
        assert agreeing(read) > floor, name
        assert read["threshold"] is not None and (read["left_out_accuracy"] is None) == (name == "one")
    assert "no class has two images" in read["threshold_rule"]


def test_images_of_every_kind_and_what_is_none(place: Path, tmp_path: Path) -> None:
    (folder, *_) = sorted((place / "mine/support").iterdir())
    given = Image.open(folder / "000.png")
    query = tmp_path / "query" / "deep" / "deeper"
    query.mkdir(parents=True)
    given.save(query / "a.png")
    given.convert("RGBA").save(query / "b.png")
    given.convert("P").save(query / "c.gif")
    given.resize((400, 400)).convert("CMYK").save(query / "d.jpg")
    given.resize((60, 30)).save(query / "e.bmp")
    exif = Image.Exif()
    exif[0x0112] = 6
    given.rotate(90).save(query / "f.png", exif=exif)
    Image.eval(given, lambda value: 255 - value).save(query / "g.png")  # light ink on black paper
    (query / "h.png").write_bytes(b"GIF89a nothing")
    (query / "i.png").touch()
    (query / "notes.txt").write_text("not an image")
    words = ("support=mine/support", f"query={tmp_path / 'query'}")
    printed = predict(place, tmp_path / "out", *words).stdout
    read = result(tmp_path / "out")
    same = [row["query"] for row in read["predictions"] if row["same_as"]]
    assert same == [f"deep/deeper/{name}" for name in ("a.png", "b.png", "c.gif", "f.png", "g.png")]
    assert {row["same_as"] for row in read["predictions"]} == {f"{folder.name}/000.png", None}
    assert read["predictions"][0]["nearest"][0]["distance"] == 0
    assert "5 query images are in the support too" in printed
    assert all(row["classes"][0]["class"] == folder.name for row in read["predictions"] if row["same_as"])
    problems = "\n".join(read["problems"])
    assert "h.png: cannot be decoded" in problems and "i.png: is empty" in problems
    assert "notes.txt: left out" in problems
    done = predict(place, tmp_path / "strict", *words, "unreadable=error", check=False)
    assert done.returncode == 2 and done.stderr.splitlines()[-1].startswith("error: ")
    assert "notes.txt: is no image" in done.stderr
    assert not list((tmp_path / "strict").glob("**/state.json")), "nothing was labelled: nothing is left"


def test_single_image_and_list(place: Path, tmp_path: Path) -> None:
    first, second = sorted((place / "mine/query").rglob("*.png"))[:2]
    predict(place, tmp_path / "one", "support=mine/support", f"query='{first}'")
    assert [row["query"] for row in result(tmp_path / "one")["predictions"]] == [str(first)]
    predict(place, tmp_path / "two", "support=mine/support", f"query=['{second}','{first}']")
    rows = result(tmp_path / "two")["predictions"]
    assert [row["query"] for row in rows] == [str(second), str(first)]
    alone = result(tmp_path / "one")["predictions"][0]
    assert rows[1]["classes"][0]["class"] == alone["classes"][0]["class"]


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_page_trusts_no_name_and_needs_nothing(place: Path, tmp_path: Path) -> None:
    evil = "<script>alert(1)<&'\"> =x"
    for number, folder in enumerate(sorted((place / "mine/support").iterdir())[:2]):
        name = evil if number == 0 else "=HYPERLINK(1)"
        shutil.copytree(folder, tmp_path / "support" / name)
    (tmp_path / "query").mkdir()
    image = sorted((place / "mine/query").rglob("*.png"))[0]
    shutil.copy(image, tmp_path / "query" / "=1+1<img src=x onerror=alert(2)>\n.png")
    words = (f"support={tmp_path / 'support'}", f"query={tmp_path / 'query'}")
    predict(place, tmp_path / "out", *words)
    text = (only_run(tmp_path / "out") / "index.html").read_text(encoding="utf-8")
    page = _Page(text)
    assert [tag for tag, _ in page.tags].count("script") == 1
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 1 and "onerror" not in images[0]
    assert evil in page.words and any("onerror=alert(2)>\\n.png" in word for word in page.words)
    assert not re.search(r"https?:|url\((?!data:image/)", text)
    sources = [str(attributes.get("src", "")) for _, attributes in page.tags if "src" in attributes]
    assert all(source.startswith("data:image/") for source in sources)
    assert ("http-equiv", "Content-Security-Policy") in page.tags[2][1].items() | page.tags[3][1].items()
    with (only_run(tmp_path / "out") / "predictions.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["query"].startswith("'=1+1<img") and row["class_2"] in ("'=HYPERLINK(1)", evil)
    assert result(tmp_path / "out")["predictions"][0]["query"].startswith("=1+1")


def test_page_shows_what_wants_a_look(place: Path, tmp_path: Path) -> None:
    words = ("support=mine/support", "query=mine/query")
    predict(place, tmp_path, *words, "thumbnails=7", "threshold=1.5")
    text = (only_run(tmp_path) / "index.html").read_text(encoding="utf-8")
    rows = result(tmp_path)["predictions"]
    unlike = sorted((row for row in rows if row["unlike"]), key=lambda row: -row["spread"])[:7]
    assert len(unlike) == 7 and text.count('<article class="card"') == 7
    assert "7 of 48 images" in text
    for row in unlike:
        assert row["query"].rpartition("/")[2] in text


def test_foreign_model_from_a_file(place: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=7)
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    foreign = ("backbone=timm", "backbone.name=test_resnet", f"backbone.weights={tmp_path / 'weights.pth'}")
    words = ("support=mine/support", "query=mine/query")
    printed = predict(place, tmp_path / "out", *words, *foreign).stdout
    read = result(tmp_path / "out")
    assert "timm test_resnet, unknown images" in printed and read["reading"]["size"] == 160
    # Random filters already tell glyphs from each other; chance is 0.17.
    assert agreeing(read) > 0.25 and read["mean"] == pytest.approx([0.5, 0.5, 0.5])
    done = predict(place, tmp_path / "cl2n", *words, *foreign, "classifier=cl2n", check=False)
    assert done.returncode == 2 and "classifier=cl2n needs the mean" in done.stderr


MISTAKES = {
    "query=mine/query": "support: needs a value; write support=DIR",
    "support=mine/support": "query: needs a value; write query=DIR",
    "support=mine/support query=mine/query run=corrupt.pt": "checkpoint corrupt.pt is damaged or not a",
    "support=mine/support query=mine/query run=nowhere": "there is no run or checkpoint nowhere",
    "support=mine/support query=mine/query size=64": "size=64: this model takes images of 28 px alone",
    "support=mine/support query=corrupt.pt": "query: none of 1 files can be read as an image; corrupt.pt: ",
    "support=mine/support query=mine/query backbone=conv4": "backbone=conv4 comes without weights",
    "support=mine/support query=mine/query run=x backbone=torchvision": "run=x: a run brings",
    "support=broken query=mine/query": "support=broken: class 'b' has no image that can be read",
    "support=mine/support query=mine/query unreadable=maybe": "unreadable=maybe must be skip or error",
    "support=mine/support query=mine/query top=0": "top=0 must be at least 1",
    "support=mine/support query=mine/query temperature=0": "temperature=0.0 must be above 0",
    "support=mine/support query=mine/query false_alarms=1": "false_alarms=1.0 must be from 0 to below 1",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_mistakes_are_one_line_and_leave_nothing(place: Path, tmp_path: Path, words: str) -> None:
    checkpoint = (only_run(place / "runs") / "best.pt").read_bytes()
    (place / "corrupt.pt").write_bytes(checkpoint[:3000])
    for name, data in (("a", next((place / "mine/query").rglob("*.png")).read_bytes()), ("b", b"junk")):
        (place / "broken" / name).mkdir(parents=True, exist_ok=True)
        (place / "broken" / name / "1.png").write_bytes(data)
    done = predict(place, tmp_path / "out", *words.split(), check=False)
    assert done.returncode == 2 and done.stderr.splitlines()[-1].startswith(f"error: {MISTAKES[words]}")
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_the_same_image_in_two_classes_is_said(place: Path, tmp_path: Path) -> None:
    first, second = sorted((place / "mine/support").iterdir())[:2]
    shutil.copytree(first, tmp_path / "support" / "a")
    shutil.copytree(second, tmp_path / "support" / "b")
    shutil.copy(first / "000.png", tmp_path / "support" / "b" / "twice.png")
    predict(place, tmp_path / "out", f"support={tmp_path / 'support'}", "query=mine/query")
    (problem,) = result(tmp_path / "out")["problems"]
    assert problem.endswith("a/000.png, which is another class")
    assert "b/twice.png: the same image as" in problem


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_and_resumed_is_the_same(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    append = Rows.append

    def stopping(rows: Rows, batch: list[dict[str, Any]]) -> None:
        append(rows, batch)
        if batch[-1]["number"] == 23:
            os.kill(os.getpid(), number)

    words = ("support=mine/support", "query=mine/query", "batch=8", "thumbnails=3")
    predict(place, tmp_path / "straight", *words)
    with monkeypatch.context() as patch:
        patch.setattr(Rows, "append", stopping)
        with pytest.raises(SystemExit) as ended:
            predict(place, tmp_path / "out", *words)
    folder = only_run(tmp_path / "out")
    assert ended.value.code == 128 + number and read_state(folder)["status"] == "stopped"
    rows = (folder / "rows.jsonl").read_bytes()
    assert rows.count(b"\n") == 24
    # As a process that is killed leaves it, within the second batch.
    (folder / "rows.jsonl").write_bytes(rows[: rows.index(b'"number": 13') + 20])
    # From another working directory: the saved config holds whole paths.
    program("predict.py", f"resume={folder}", "threads=1", cwd=tmp_path)
    assert result(tmp_path / "out")["predictions"] == result(tmp_path / "straight")["predictions"]
    done = program("predict.py", f"resume={folder}", cwd=tmp_path, check=False)
    assert done.returncode == 2 and "that prediction is finished" in done.stderr


def test_resume_refuses_what_has_changed(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "mine", tmp_path / "mine")
    words = (f"support={tmp_path / 'mine/support'}", f"query={tmp_path / 'mine/query'}")
    predict(place, tmp_path / "out", *words)
    folder = only_run(tmp_path / "out")
    state = json.loads((folder / "state.json").read_text())
    (folder / "state.json").write_text(json.dumps({**state, "status": "stopped"}))
    next((tmp_path / "mine/query").rglob("*.png")).unlink()
    done = program("predict.py", f"resume={folder}", cwd=place, check=False)
    assert done.returncode == 2 and "has changed since it began" in done.stderr
    done = program("predict.py", f"resume={folder}", "top=2", cwd=place, check=False)
    assert done.returncode == 2 and "a prediction goes on with its own settings, so top=2" in done.stderr
    done = program("predict.py", f"resume={tmp_path}", cwd=place, check=False)
    assert done.returncode == 2 and "is no folder of a prediction" in done.stderr


def test_hidden_transduction_is_refused(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = encoder.load_model

    def in_training_mode(path: Path, device: torch.device) -> Any:
        model = load(path, device)
        model.embedder.train()
        return model

    monkeypatch.setattr(encoder, "load_model", in_training_mode)
    done = predict(place, tmp_path, "support=mine/support", "query=mine/query", check=False)
    assert done.returncode == 2 and "hidden transduction" in done.stderr


def test_real_drawings_of_omniglot_with_the_model_of_glyphs(
    shared_data: Path, place: Path, tmp_path: Path
) -> None:
    """From fonts to handwriting: the owner's files as they are, dark ink on white, 105 px."""
    with zipfile.ZipFile(shared_data / "omniglot" / "images_evaluation.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".png"))
        classes = sorted({name.rpartition("/")[0] for name in names})[::67]
        for name in names:
            character, _, file = name.rpartition("/")
            if character in classes:
                part = "support" if int(file[-6:-4]) <= 5 else "query"
                path = tmp_path / part / character.partition("/")[2] / file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.read(name))
    predict(place, tmp_path / "out", f"support={tmp_path / 'support'}", f"query={tmp_path / 'query'}")
    read = result(tmp_path / "out")
    assert len(classes) == 10 and read["labelled"] == 150 and read["reading"]["invert"] == "light"
    assert agreeing(read) > 0.6  # chance is 0.1; without the inversion it is lower
    words = (f"support={tmp_path / 'support'}", f"query={tmp_path / 'query'}", "invert=false")
    predict(place, tmp_path / "as_is", *words)
    assert agreeing(result(tmp_path / "as_is")) < agreeing(read)
