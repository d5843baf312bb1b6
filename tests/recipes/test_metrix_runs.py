"""Metrix through the command line: CUB in its owner's layout, every loss with its mixing, real images."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from programs import only_run

from fewshot.cli.commands import eval as eval_
from fewshot.cli.commands import train
from fewshot.data.image_set import ImageSet
from fewshot.data.sources.omniglot import Omniglot
from fewshot.evaluation.embeddings import Embeddings
from fewshot.evaluation.retrieval import retrieve
from fewshot.evaluation.retrieval_result import read_retrieval

GLYPHS = ["data=glyphs", "data.images_per_class=8", "data.size=16"]
SMALL = ["recipe=retrieval", "threads=1", "precision=float32", "backbone.width=8", "head.dim=16"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The working directory, and the data folder below it."""
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEWSHOT_DATA", str(folder / "data"))
        patch.chdir(folder)
        yield folder


def measures(run: Path) -> dict[str, float]:
    """The means of a run's only evaluation."""
    (result,) = run.glob("eval/*/result.json")
    return {name: value["mean"] for name, value in json.loads(result.read_text())["measures"].items()}


def last_figures(run: Path) -> dict[str, Any]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if "train/loss" in line][-1]


def birds(folder: Path, images: int = 4) -> None:
    """CUB_200_2011.tgz with its 200 classes, each of one colour."""
    folder.mkdir(parents=True)
    draw = np.random.default_rng(0)
    paths, contents = [], {}
    for number in range(1, 201):
        name = f"{number:03d}.Bird_{number}"
        colour = draw.integers(40, 216, 3)
        for image in range(images):
            pixels = np.clip(colour + draw.normal(0, 12, (24, 28, 3)), 0, 255).astype(np.uint8)
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "JPEG")
            paths.append(f"{name}/Bird_{number}_{image:04d}_{image}.jpg")
            contents[f"CUB_200_2011/images/{paths[-1]}"] = file.getvalue()
    tables = {
        "images.txt": "".join(f"{n} {path}\n" for n, path in enumerate(paths, 1)),
        "image_class_labels.txt": "".join(f"{n} {int(path[:3])}\n" for n, path in enumerate(paths, 1)),
        "bounding_boxes.txt": "".join(f"{n} 1.0 1.0 20.0 20.0\n" for n, _ in enumerate(paths, 1)),
    }
    contents |= {f"CUB_200_2011/{name}": text.encode() for name, text in tables.items()}
    with tarfile.open(folder / "CUB_200_2011.tgz", "w:gz") as archive:
        for name, data in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def test_proxy_anchor_with_feature_mixing_on_cub(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    birds(place / "data" / "cub")
    words = [*SMALL, "loss=proxy_anchor", "mixup=feature", "data=cub", "data.size=20", "steps=30"]
    network = ["backbone.pool=average_max", "sampler.images=4", "validation.every=15"]
    assert train.run([*words, *network, "output_dir=cub"]) == 0
    run = only_run(Path("cub"))
    assert "20 held-out training classes" in (run / "run.json").read_text()
    figures = last_figures(run)
    assert figures["train/clean"] > 0 and figures["train/mixed"] > 0
    assert eval_.run(["evaluation=retrieval", "output_dir=cub", "threads=1"]) == 0
    shown = capsys.readouterr().out
    assert "cub (retrieval), 100 test classes" in shown
    assert "20 held-out training classes" in shown
    # Colours alone find most of them; a hundredth would be chance.
    assert measures(run)["recall@1"] > 0.3


@pytest.mark.parametrize("mixup", ["none", "input", "feature", "embedding", "random"])
@pytest.mark.parametrize("loss", ["contrastive", "multi_similarity", "proxy_anchor", "soft_triple", "n_pair"])
def test_every_kind_of_loss_trains_with_every_mixing(place: Path, loss: str, mixup: str) -> None:
    name = f"{loss}-{mixup}"
    words = [*SMALL, *GLYPHS, f"loss={loss}", f"mixup={mixup}", "steps=4", "validation.every=0"]
    sampler = ["sampler.classes=5", "sampler.images=3", "backbone.pool=average_max"]
    assert train.run([*words, *sampler, f"output_dir={name}"]) == 0
    figures = last_figures(only_run(Path(name)))
    assert np.isfinite(figures["train/loss"]) and figures["train/gradient_norm"] > 0
    assert ("train/mixed" in figures) == (mixup != "none")


@pytest.mark.parametrize("episode", ["queries", "supports", "both"])
@pytest.mark.parametrize("mixup", ["feature", "embedding", "input"])
def test_episodes_are_mixed(place: Path, mixup: str, episode: str) -> None:
    name = f"{mixup}-{episode}"
    words = [*GLYPHS, f"mixup={mixup}", f"mixup.episode={episode}", "steps=3", "validation.every=0"]
    small = ["threads=1", "backbone.width=8", "sampler.ways=4", "sampler.queries=3", "sampler.episodes=2"]
    assert train.run([*words, *small, f"output_dir={name}"]) == 0
    figures = last_figures(only_run(Path(name)))
    terms = {"queries": {"queries"}, "supports": {"supports"}, "both": {"queries", "supports"}}[episode]
    assert {key for key in figures if key.startswith("train/mixed_")} == {f"train/mixed_{t}" for t in terms}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["loss=circle", "mixup=feature"], "loss Circle is not of the generic form"),
        (["loss=proxy_anchor", "mixup=feature", "mixup.pairs=anchor_negative"], "are proxies"),
        (["mixup=feature", "mixup.stage=block9"], "mixup.stage=block9 is no stage of Conv4"),
        (["loss=proxy_anchor", "memory=cross_batch"], "memory=cross_batch is for losses on pairs"),
        (["loss=contrastive", "mixup=featur"], "did you mean 'feature'"),
        (["mixup=feature", "mixup.alfa=1"], "did you mean 'alpha'"),
        (["mixup=feature", "mixup.pairs=all"], "mixup.pairs"),
    ],
)
def test_a_mistake_is_one_line(
    place: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert train.run([*SMALL, *GLYPHS, "steps=2", "output_dir=mistakes", *words]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert message in said[-1]
    assert "Traceback" not in "\n".join(said)


def test_omniglot_beats_its_pixels(shared_data: Path, place: Path) -> None:
    """Eighty steps on real drawings, mixed, find characters never seen better than pixels do."""
    folder = place / "data" / "omniglot"
    folder.mkdir(parents=True)
    for part in ("images_background", "images_evaluation"):
        (folder / f"{part}.zip").symlink_to(shared_data / "omniglot" / f"{part}.zip")
    words = ["recipe=retrieval", "data=omniglot", "data.rotations=false", "loss=contrastive"]
    network = ["mixup=feature", "backbone.width=32", "backbone.pool=average_max", "head.dim=64"]
    settings = ["steps=80", "validation.every=0", "threads=1", "precision=float32", "optimizer.lr=0.003"]
    assert train.run([*words, *network, *settings, "output_dir=omniglot"]) == 0
    evaluation = ["evaluation=retrieval", "evaluation.clustering=false", "output_dir=omniglot", "threads=1"]
    assert eval_.run(evaluation) == 0
    learnt = measures(only_run(Path("omniglot")))["recall@1"]
    (result,) = Path("omniglot").glob("*/eval/*/result.json")
    images = read_retrieval(result.parent).retrieval.images
    source = Omniglot(rotations=False)
    packed = ImageSet.open(place / "data" / "packed" / source.key)
    pixels = Embeddings(packed.gather(images).flatten(1).float() / 255, images)
    plain = retrieve(pixels, packed.labels.numpy()[images], recall_at=[1]).intervals()["recall@1"].mean
    # Pixels reach 0.336; a hundred of these steps 0.477.
    assert 0.32 < plain < 0.35
    assert learnt > plain + 0.05
