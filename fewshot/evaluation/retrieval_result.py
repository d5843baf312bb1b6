"""The files of a retrieval evaluation: a summary to read, and every query for later comparison."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewshot.errors import InputError
from fewshot.evaluation.intervals import NORMAL
from fewshot.evaluation.result_files import read_summary_and_arrays, write_summary_and_arrays
from fewshot.evaluation.retrieval import Retrieval

KIND = "retrieval"
QUERIES = "queries.npz"
_ARRAYS = ("images", "classes", "ranks", "r_precision", "map_at_r")


@dataclass(frozen=True, eq=False)
class SavedRetrieval:
    """A retrieval evaluation as read back.

    Attributes:
        summary: what result.json holds.
        retrieval: as it was saved.
    """

    summary: dict[str, Any]
    retrieval: Retrieval


def save_retrieval(
    folder: Path, result: Retrieval, class_names: Sequence[str], details: Mapping[str, Any]
) -> Path:
    """Write `queries.npz` and then `result.json`, each whole or not at all.

    The arrays are those of `Retrieval`, one value a query. The summary has `kind` "retrieval", and a mean and
    interval of each measure under `measures`; results with one `queries_sha256` have the same queries, in
    the same order, and galleries of one size.

    Args:
        folder: made if absent.
        result: as `retrieve` gives it.
        class_names: of the image set, by class number.
        details: what else describes the result; plain values. They cannot replace a key of the result.

    Returns:
        the path of result.json.

    Raises:
        InputError: the folder cannot be written; older files in it are then untouched.
        ValueError: details that name a key of the result.
    """
    identity = f"{result.gallery} {result.images.tolist()} {result.classes.tolist()}"
    summary = {
        "kind": KIND,
        "measures": {
            name: {"mean": interval.mean, "interval": interval.half_width}
            for name, interval in result.intervals().items()
        },
        "interval_method": f"95%, {NORMAL} over queries",
        "recall_at": result.recall_at,
        "queries": len(result.images),
        "lonely": result.lonely,
        "gallery": result.gallery,
        "queries_sha256": hashlib.sha256(identity.encode()).hexdigest(),
        "per_class": {class_names[number]: share for number, share in result.per_class().items()},
    }
    arrays = {name: getattr(result, name) for name in _ARRAYS}
    return write_summary_and_arrays(folder, summary, details, QUERIES, arrays)


def read_retrieval(folder: Path) -> SavedRetrieval:
    """Read what `save_retrieval` wrote.

    Raises:
        InputError: there is no whole result of retrieval.
    """
    summary, arrays = read_summary_and_arrays(folder, QUERIES, _ARRAYS)
    try:
        if summary["kind"] != KIND:
            raise InputError(f"{folder} holds no retrieval (kind is {summary['kind']!r}); run eval.py again")
        retrieval = Retrieval(
            recall_at=tuple(summary["recall_at"]),
            **dict(zip(_ARRAYS, arrays, strict=True)),
            lonely=summary["lonely"],
            gallery=summary["gallery"],
        )
    except (KeyError, TypeError) as error:
        raise InputError(f"the evaluation in {folder} is damaged ({error}); run eval.py again") from error
    return SavedRetrieval(summary, retrieval)
