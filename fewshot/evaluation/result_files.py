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
        predictions: int16 [points, episodes, ways, queries].
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
    points = [_point(curve[count], class_names) for count in sorted(curve)]
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


def read_result(folder: Path) -> SavedResult:
    """Read what `save_result` wrote.

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
            f"cannot write the result to {folder}: {error.strerror or error}; choose output_dir="
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


def _point(result: FewShotAccuracy, class_names: Sequence[str]) -> dict[str, Any]:
    interval = result.interval
    return {
        "shots": result.shots,
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
