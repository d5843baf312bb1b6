"""Folders of runs and of their results as train.py and eval.py leave them, made in no time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import OmegaConf

from fewshot.continual.accuracy_matrix import KINDS
from fewshot.evaluation.accuracy import FewShotAccuracy
from fewshot.evaluation.result_files import save_result, write_summary_and_arrays
from fewshot.evaluation.retrieval import Retrieval
from fewshot.evaluation.retrieval_result import save_retrieval
from fewshot.recipes.continual_result import ARRAYS
from fewshot.recipes.run_record import save_config, save_record
from fewshot.sampling.testbed import Testbed

WAYS, QUERIES, EPISODES = 3, 4, 30
IMAGES = {"pack": "glyphs-28px-gray", "form": "fonts", "size": 28}


def a_run(folder: Path, loss: str = "icnn", seed: int = 0, best: float | None = 0.5, **settings: Any) -> Path:
    """A finished run; `settings` are further keys of its config, dots as `__`."""
    folder.mkdir(parents=True)
    config = OmegaConf.create(
        {
            "recipe": {"_target_": "fewshot.recipes.few_shot.train"},
            "data": {"_target_": "fewshot.data.sources.glyphs.Glyphs", "split": "scripts", "size": 28},
            "loss": {"_target_": f"loss.{loss}", "k": 4 if loss == "icnn" else None},
            "nested": {"seed": seed},
            "seed": seed,
            "name": folder.name,
            "output_dir": str(folder.parent),
            "choices": {"loss": loss, "data": "glyphs", "recipe": "few_shot"},
        }
    )
    for key, value in settings.items():
        OmegaConf.update(config, key.replace("__", "."), value)
    save_config(folder, config)
    save_record(folder, {"recipe": "few_shot", "status": "finished", "best": best, "seconds": 12.5})
    return folder


def accuracies_of(run: Path, shots: int = 5, name: str = "shots") -> NDArray[np.float64]:
    """What `few_shot_result` gave the run, told by the same draw: float64 [EPISODES]."""
    return _right(run, shots, name).mean((1, 2))


def few_shot_result(
    run: Path,
    shots: tuple[int, ...] = (5,),
    *,
    name: str = "shots",
    testbed: str = "a" * 64,
    classifier: str = "prototype",
    classes: tuple[str, ...] = ("a", "b", "c"),
    images: dict[str, Any] = IMAGES,
    leak: str = "unseen",
) -> Path:
    """A result whose accuracies depend on the run's and the result's name alone."""
    truth = np.arange(WAYS)[:, None]
    numbers = np.broadcast_to(np.arange(WAYS), (EPISODES, WAYS))
    curve = {
        count: FewShotAccuracy(
            count, np.where(_right(run, count, name), truth, (truth + 1) % WAYS).astype(np.int16), numbers
        )
        for count in shots
    }
    drawn = np.zeros((EPISODES, WAYS, 1), np.int64)
    bed = Testbed("test", WAYS, max(shots), QUERIES, 0, drawn, numbers, testbed)
    config = {
        "evaluation": {"_target_": "fewshot.recipes.few_shot_evaluation.FewShotEvaluation"},
        "classifier": {"_target_": f"classifier.{classifier}"},
        "data": None,
        "ways": WAYS,
        "shots": list(shots) if len(shots) > 1 else shots[0],
        "queries": QUERIES,
        "episodes": EPISODES,
        "seed": 0,
        "part": "test",
        "run": str(run),
        "choices": {"classifier": classifier, "data": None, "evaluation": "few_shot"},
    }
    details = {"data": "glyphs", "images": images, "leak": leak, "classifier": classifier, "config": config}
    details["transductive"] = classifier == "tim"
    return save_result(run / "eval" / name, curve, bed, classes, details).parent


def _right(run: Path, shots: int, name: str) -> NDArray[np.bool_]:
    draw = np.random.default_rng([shots, *f"{run.name} {name}".encode()])
    return draw.random((EPISODES, WAYS, QUERIES)) < 0.4 + 0.05 * shots


def retrieval_result(run: Path, queries: int = 40) -> tuple[Path, Retrieval]:
    """A result of retrieval, and what is in it."""
    draw = np.random.default_rng([*run.name.encode()])
    found = Retrieval(
        recall_at=(1, 4),
        images=np.arange(queries),
        classes=np.arange(queries) % 4,
        ranks=draw.integers(1, 6, queries),
        r_precision=draw.random(queries),
        map_at_r=draw.random(queries),
        lonely=0,
        gallery=queries,
    )
    details = {"data": "glyphs", "images": IMAGES, "leak": "unseen", "similarity": "cosine"}
    return save_retrieval(run / "eval" / "retrieval", found, ["a", "b", "c", "d"], details).parent, found


def stream_result(run: Path, evaluated: str = "test") -> Path:
    """A result of a stream of three tasks."""
    draw = np.random.default_rng([*run.name.encode()])
    arrays = {kind: np.where(np.tri(3, dtype=bool), draw.random((3, 3)), np.nan) for kind in KINDS}
    summary = {
        "kind": "continual",
        **{kind: {"final_average": float(arrays[kind][-1].mean())} for kind in KINDS},
        "data": "glyphs",
        "images": IMAGES,
        "evaluated": evaluated,
        "scenario": {"tasks": [4, 4, 4], "sha256": "c" * 64},
    }
    return write_summary_and_arrays(run / "eval" / "continual", summary, {}, ARRAYS, arrays).parent
