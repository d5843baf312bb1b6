"""Prototype stores: they label as the support does, grow, and refuse what is not theirs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from programs import only_run, program
from safetensors.torch import load_file

from fewshot.cli.verbs import main
from fewshot.data.sources.cub import CUB
from fewshot.recipes.leakage import identity
from fewshot.recipes.model import Architecture, card
from fewshot.training import checkpoint

SOURCE = CUB(size=24)
CONV4 = {"_target_": "fewshot.models.conv4.Conv4", "width": 16, "depth": 3, "pool": "average"}
NO_HEAD = {"_target_": "fewshot.models.heads.NoHead", "normalize": False}


def model(folder: Path, seed: int) -> None:
    torch.manual_seed(seed)
    architecture = Architecture(CONV4, NO_HEAD, SOURCE.mean, SOURCE.std, 24, 3)
    content = card(
        architecture, {**identity(SOURCE), "before": "none"}, "last", ("A",), torch.zeros(16), source=SOURCE
    )
    folder.mkdir()
    checkpoint.save(folder / "best.pt", {**content, "embedder": architecture.build().state_dict(), "step": 1})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models, a support of three classes of different sizes, one more class, and a query."""
    folder = tmp_path_factory.mktemp("stores")
    model(folder / "run", 1)
    model(folder / "other", 2)
    draw = np.random.default_rng(0)
    for number, (name, count) in enumerate((("a", 4), ("b", 1), ("c <&>", 3), ("d", 2))):
        part = "more" if name == "d" else "support"
        for image in range(count + 3):
            to = folder / (part if image < count else "query") / name
            to.mkdir(parents=True, exist_ok=True)
            pixels = draw.integers(0, 90, (30, 24, 3)) + np.array([50 * number, 160 - 50 * number, 40])
            Image.fromarray(pixels.astype(np.uint8)).save(to / f"{image}.png")
    shutil.copytree(folder / "support", folder / "all")
    shutil.copytree(folder / "more/d", folder / "all/d")
    return folder


def made(place: Path, to: Path, *words: str, support: str = "support") -> Path:
    given = [f"support={place / support}", f"to={to}", f"run={place / 'run'}", "threads=1", *words]
    assert main(["store", "make", *given]) == 0
    return to


def predicted(place: Path, output: Path, *words: str) -> dict[str, Any]:
    program("predict.py", *words, f"query={place / 'query'}", f"output_dir={output}", "threads=1", cwd=place)
    read: dict[str, Any] = json.loads((only_run(output) / "predictions.json").read_text(encoding="utf-8"))
    shutil.rmtree(output)
    return read


def mistake(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert main(words) == 2
    return capsys.readouterr().err.splitlines()[-1]


KEYS = ("predictions", "temperature", "threshold", "threshold_rule", "left_out_accuracy", "support_counts")


@pytest.mark.parametrize("classifier", ["prototype", "cosine", "logistic", "knn", "cl2n"])
def test_a_store_labels_as_its_support(place: Path, tmp_path: Path, classifier: str) -> None:
    store = made(place, tmp_path / "store")
    chosen = f"classifier={classifier}"
    run = f"run={place / 'run'}"
    wanted = predicted(place, tmp_path / "p", f"support={place / 'support'}", run, chosen)
    found = predicted(place, tmp_path / "p", f"store={store}", chosen)  # the run is the store's own
    for key in KEYS:
        assert found[key] == wanted[key], key
    assert found["predictions"][0]["nearest"][0]["image"].startswith("a/")


@pytest.mark.parametrize("classifier", ["prototype", "cosine", "cl2n"])
def test_prototypes_alone_label_the_same(place: Path, tmp_path: Path, classifier: str) -> None:
    chosen = f"classifier={classifier}"
    store = made(place, tmp_path / "store", "embeddings=false", chosen)
    (file,) = store.glob("*.safetensors")
    assert {name: list(value.shape) for name, value in load_file(file).items()} == {
        "sums": [3, 16],
        "labels": [0],
    }
    run = f"run={place / 'run'}"
    wanted = predicted(place, tmp_path / "p", f"support={place / 'support'}", run, chosen)
    found = predicted(place, tmp_path / "p", f"store={store}", run, chosen)
    for row, other in zip(found["predictions"], wanted["predictions"], strict=True):
        assert (row["query"], row["unlike"], row["nearest"]) == (other["query"], other["unlike"], [])
        assert [entry["class"] for entry in row["classes"]] == [entry["class"] for entry in other["classes"]]
        for key in ("probability", "distance"):
            pairs = zip(row["classes"], other["classes"], strict=True)
            assert all(a[key] == pytest.approx(b[key], rel=1e-4, abs=1e-5) for a, b in pairs)
    assert found["support_counts"] == wanted["support_counts"] == {"a": 4, "b": 1, "c <&>": 3}


@pytest.mark.parametrize("embeddings", ["true", "false"])
def test_classes_are_added(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], embeddings: str
) -> None:
    store = made(place, tmp_path / "store", f"embeddings={embeddings}")
    assert main(["store", "add", f"store={store}", f"support={place / 'more'}", "threads=1"]) == 0
    assert len(list(store.iterdir())) == 2
    wanted = predicted(place, tmp_path / "p", f"support={place / 'all'}", f"run={place / 'run'}")
    found = predicted(place, tmp_path / "p", f"store={store}")
    best = [[row["classes"][0]["class"] for row in read["predictions"]] for read in (found, wanted)]
    assert best[0] == best[1] and "d" in best[0]
    if embeddings == "true":
        assert all(found[key] == wanted[key] for key in KEYS)
    line = mistake(capsys, "store", "add", f"store={store}", f"support={place / 'more'}")
    assert "class 'd' is in the store already" in line
    assert main(["store", "show", f"store={store}"]) == 0
    assert "4 classes, 10 images" in capsys.readouterr().out


def test_the_page_escapes_a_stores_names(place: Path, tmp_path: Path) -> None:
    store = made(place, tmp_path / "store")
    words = (f"store={store}", f"query={place / 'query'}", f"output_dir={tmp_path / 'p'}", "threads=1")
    program("predict.py", *words, cwd=place)
    page = (only_run(tmp_path / "p") / "index.html").read_text(encoding="utf-8")
    assert "c &lt;&amp;&gt;" in page and "c <&>" not in page


def test_another_model_or_reading_is_refused(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = made(place, tmp_path / "store")
    ask = (f"store={store}", f"query={place / 'query'}", f"output_dir={tmp_path / 'p'}")
    assert "was made with another model" in mistake(capsys, "predict", *ask, f"run={place / 'other'}")
    add = ("store", "add", f"store={store}", f"support={place / 'more'}")
    assert "was made with another model" in mistake(capsys, *add, f"run={place / 'other'}")
    assert "read otherwise" in mistake(capsys, "predict", *ask, "size=30")
    assert "holds its own support" in mistake(capsys, "predict", *ask, f"support={place / 'support'}")
    assert not (tmp_path / "p").exists()


def test_prototypes_alone_serve_their_own_classifier(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = made(place, tmp_path / "store", "embeddings=false")
    ask = ("predict", f"store={store}", f"query={place / 'query'}", f"output_dir={tmp_path / 'p'}")
    assert "keeps prototypes alone, for classifier=prototype" in mistake(capsys, *ask, "classifier=logistic")
    assert "give threshold=NUMBER" in mistake(capsys, *ask, "false_alarms=0.2")
    assert (
        predicted(place, tmp_path / "p", f"store={store}", "threshold=0.001", "false_alarms=0.2")["unlike"]
        == 12
    )


def test_mistakes_leave_nothing(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = (f"support={place / 'support'}", f"run={place / 'run'}", f"to={tmp_path / 'store'}")
    for more, said in (
        (("classifier=knn", "embeddings=false"), "needs each support image"),
        (("classifier=tim",), "is transductive"),
        (("query=x",), "takes a support alone"),
        (("embeddings=maybe",), "must be true or false"),
        (("top=0",), "must be at least 1"),
    ):
        assert said in mistake(capsys, "store", "make", *words, *more)
    assert "needs an action" in mistake(capsys, "store")
    assert "did you mean 'make'" in mistake(capsys, "store", "mak")
    assert "needs to=DIR" in mistake(capsys, "store", "make", *words[:2])
    assert "holds no store.json" in mistake(capsys, "store", "show", f"store={tmp_path}")
    assert not list(tmp_path.iterdir())
    made(place, tmp_path / "store")
    assert "is there already" in mistake(capsys, "store", "make", *words)


def _card(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        told = json.loads((folder / "store.json").read_text())
        change(told)
        (folder / "store.json").write_text(json.dumps(told))

    return apply


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "store.json").write_bytes(b"\xff"), "is no JSON"),
        (lambda folder: next(folder.glob("*.safetensors")).write_bytes(b"x"), "sha256 differs"),
        (_card(lambda told: told.update(format=7)), "has format 7"),
        (_card(lambda told: told.update(kind="model")), "is no card of a fewshot prototype store"),
        (_card(lambda told: told.update(tensors="../x.safetensors")), "is no name of its tensors"),
        (_card(lambda told: told["classes"].append("e")), "do not fit each other"),
        (_card(lambda told: told.update(classes=["a", "a", "b"])), "do not fit each other"),
        (_card(lambda told: told.update(counts=[1, 1, 6])), "do not fit each other"),
        (_card(lambda told: told["names"].__setitem__(0, "../../x.png")), "do not fit each other"),
        (_card(lambda told: told["classes"].__setitem__(0, "a\x1b[2J")), "do not fit each other"),
        (_card(lambda told: told.pop("fitted")), "'fitted' is not there"),
        (_card(lambda told: told["reading"].update(fit=3)), "is damaged"),
    ],
)
def test_damaged_stores(
    place: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    damage: Callable[[Path], None],
    said: str,
) -> None:
    store = made(place, tmp_path / "store")
    damage(store)
    ask = ("predict", f"store={store}", f"query={place / 'query'}", f"output_dir={tmp_path / 'p'}")
    assert said in mistake(capsys, *ask)
    assert not (tmp_path / "p").exists()
