"""The files of an evaluation: a summary to read, and every episode for later comparison."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewshot.errors import InputError
from fewshot.evaluation.accuracy import FewShotAccuracy
from fewshot.evaluation.general_accuracy import GeneralAccuracy
from fewshot.evaluation.intervals import mean_interval
from fewshot.sampling.general_testbed import GeneralTestbed
from fewshot.sampling.testbed import Testbed
from fewshot.whole_file import whole_file, write_whole

SUMMARY = "result.json"
EPISODES = "episodes.npz"


@dataclass(frozen=True, eq=False)
class SavedResult:
    """An evaluation as read back.

    Attributes:
        summary: what result.json holds.
        shots: int64 [points], the shots of each point of the curve, ascending.
        accuracies: float64 [points, episodes].
        predictions: int16 [points, episodes, ways, queries]; of general episodes [1, episodes, m].
        classes: int64 [episodes, ways].
    """

    summary: dict[str, Any]
    shots: NDArray[np.int64]
    accuracies: NDArray[np.float64]
    predictions: NDArray[np.int16]
    classes: NDArray[np.int64]


def save_result(
    folder: Path,
    curve: Mapping[int, FewShotAccuracy],
    testbed: Testbed,
    class_names: Sequence[str],
    details: Mapping[str, Any],
) -> Path:
    """Write `episodes.npz` and then `result.json`, each whole or not at all.

    The summary's first keys are those of the point with the most shots; `curve` has one entry for
    each point.

    Args:
        folder: made if absent.
        curve: results by number of shots, as `shot_curve` gives them.
        testbed: the episodes they were computed on.
        class_names: of the image set, by class number.
        details: what else describes the result (config, seed, image source, origin of the weights,
            classifier, wall time, hardware); plain values. They cannot replace a key of the result.

    Returns:
        the path of result.json.

    Raises:
        InputError: the folder cannot be written; older files in it are then untouched.
        ValueError: no result, or details that name a key of the result.
    """
    if not curve:
        raise ValueError("there is no result to save")
    points = [_point(count, curve[count], class_names) for count in sorted(curve)]
    summary = {
        **{key: value for key, value in points[-1].items() if key != "shots"},
        "ways": testbed.ways,
        "shots": points[-1]["shots"],
        "queries": testbed.queries,
        "split": testbed.split,
        "testbed_seed": testbed.seed,
        "testbed_sha256": testbed.sha256,
        "curve": points,
    }
    results = [curve[count] for count in sorted(curve)]
    arrays: dict[str, NDArray[Any]] = {
        "shots": np.array(sorted(curve), dtype=np.int64),
        "accuracies": np.stack([result.accuracies for result in results]),
        "predictions": np.stack([result.predictions for result in results]),
        "classes": results[0].classes,
    }
    return write_summary_and_arrays(folder, summary, details, EPISODES, arrays)


def save_general_result(
    folder: Path,
    result: GeneralAccuracy,
    testbed: GeneralTestbed,
    kind: str,
    class_names: Sequence[str],
    details: Mapping[str, Any],
) -> Path:
    """Write the result on general episodes, as `save_result` does.

    Beside its keys the summary has the `episode` that was chosen (`kind`), the `task` in words, and, where
    queries are outside the support, `rejection`: the mean AUROC with its interval for each measure.
    `episodes.npz` has the true `labels` int16 [episodes, m] and `auroc_MEASURE` [episodes] as well.
    """
    shots = testbed.task.shots
    point = _point(shots, result, class_names)
    rejection = {name: mean_interval(areas) for name, areas in result.auroc.items()}
    summary = {
        **{key: value for key, value in point.items() if key != "shots"},
        **testbed.task._asdict(),
        "episode": kind,
        "task": testbed.told,
        "rejection": {
            name: {"auroc": area.mean, "interval": area.half_width} for name, area in rejection.items()
        },
        "split": testbed.split,
        "testbed_seed": testbed.seed,
        "testbed_sha256": testbed.sha256,
        "curve": [point],
    }
    arrays: dict[str, NDArray[Any]] = {
        "shots": np.array([shots], dtype=np.int64),
        "accuracies": result.accuracies[None],
        "predictions": result.predictions[None],
        "classes": result.classes,
        "labels": result.labels,
        **{f"auroc_{name}": areas for name, areas in result.auroc.items()},
    }
    return write_summary_and_arrays(folder, summary, details, EPISODES, arrays)


def read_result(folder: Path) -> SavedResult:
    """Read what `save_result` or `save_general_result` wrote.

    Raises:
        InputError: there is no whole result.
    """
    summary, arrays = read_summary_and_arrays(
        folder, EPISODES, ("shots", "accuracies", "predictions", "classes")
    )
    return SavedResult(summary, *arrays)


def write_summary_and_arrays(
    folder: Path,
    summary: Mapping[str, Any],
    details: Mapping[str, Any],
    name: str,
    arrays: Mapping[str, NDArray[Any]],
) -> Path:
    """Write the arrays to file `name` and then summary and details to result.json, each whole or not at all.

    Arguments, result and errors as in `save_result`.
    """
    if taken := sorted(set(summary) & set(details)):
        raise ValueError(f"details may not hold {taken[0]!r}, a key of the result itself")
    text = json.dumps(_plain({**summary, **details}), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with whole_file(folder / name) as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        write_whole(folder / SUMMARY, text)
    except OSError as error:
        raise InputError(
            f"cannot write the result to {folder}: {error.strerror or error}; free space, "
            "or copy the run to where it can be written to"
        ) from error
    return folder / SUMMARY


def read_summary_and_arrays(
    folder: Path, name: str, keys: Sequence[str]
) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    """What result.json holds, and the arrays `keys` of file `name`, in their order.

    Raises:
        InputError: there is no whole result.
    """
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        with np.load(folder / name, allow_pickle=False) as file:
            return summary, [file[key] for key in keys]
    except FileNotFoundError as error:
        missing = Path(str(error.filename)).name
        raise InputError(f"{folder} holds no evaluation ({missing} is missing); run eval.py") from error
    except Exception as error:  # a damaged array can raise anything
        raise InputError(f"the evaluation in {folder} is damaged ({error}); run eval.py again") from error


def _point(
    shots: int, result: FewShotAccuracy | GeneralAccuracy, class_names: Sequence[str]
) -> dict[str, Any]:
    interval = result.interval
    return {
        "shots": shots,
        "accuracy": interval.mean,
        "interval": interval.half_width,
        "interval_method": f"95%, {interval.method} over episodes",
        "episodes": interval.n,
        "per_class": {class_names[number]: share for number, share in result.per_class().items()},
    }


def _plain(value: Any) -> Any:
    """As JSON has it: nan and infinities are null, tuples lists, paths and the rest text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, (str, int, type(None))) else str(value)
