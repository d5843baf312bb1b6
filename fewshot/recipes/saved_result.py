"""Any saved evaluation as values that can be compared: one of each episode, query or task."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewshot.continual.accuracy_matrix import KINDS
from fewshot.errors import InputError
from fewshot.evaluation.result_files import SUMMARY, read_result, read_summary_and_arrays
from fewshot.evaluation.retrieval_result import read_retrieval
from fewshot.recipes.continual_result import ARRAYS

_SIZE = re.compile(r"-\d+px-(gray|rgb)(-squash|-resize\d+)?")
"""What a pack's name says of its pixels: two models may see the same images at other sizes."""


@dataclass(frozen=True, eq=False)
class SavedValues:
    """A saved evaluation.

    Attributes:
        folder: of the result.
        kind: few_shot, retrieval or continual.
        ground: what it was measured on; values of two results are paired if theirs are equal.
        where: that in words.
        how: what predicted there, such as the classifier; "" where there is one way alone.
        unit: what a value is of: episodes, queries, tasks.
        figures: name -> float64 [n], shares; "5-shot", "R@1".
        summary: what result.json holds.
    """

    folder: Path
    kind: str
    ground: str
    where: str
    how: str
    unit: str
    figures: dict[str, NDArray[np.float64]]
    summary: dict[str, Any]

    @property
    def setting(self) -> tuple[str, str, str]:
        """Results of two runs with the same one come from the same command."""
        return self.kind, self.ground, self.how


def read_values(folder: Path) -> SavedValues:
    """Read the evaluation in a folder that holds a result.json.

    Raises:
        InputError: there is no whole result.
    """
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        kind = summary.get("kind", "few_shot")
        return {"few_shot": _few_shot, "retrieval": _retrieval, "continual": _continual}[kind](folder)
    except FileNotFoundError as error:
        raise InputError(f"{folder} holds no evaluation ({SUMMARY} is missing); run eval.py") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"the evaluation in {folder} is damaged ({error!r}); run eval.py again") from error


def values_of_run(run: Path) -> list[SavedValues]:
    """All evaluations of a run, sorted by folder; of several in one setting the one with most figures.

    Raises:
        InputError: one of them is damaged.
    """
    found: dict[tuple[str, str, str], SavedValues] = {}
    for path in sorted((run / "eval").glob(f"*/{SUMMARY}")):
        saved = read_values(path.parent)
        known = found.get(saved.setting)
        if known is None or len(saved.figures) > len(known.figures):
            found[saved.setting] = saved
    return list(found.values())


def _few_shot(folder: Path) -> SavedValues:
    saved = read_result(folder)
    summary = saved.summary
    figures = {
        f"{shots}-shot": accuracies
        for shots, accuracies in zip(saved.shots.tolist(), saved.accuracies, strict=True)
    }
    task = summary.get("task") or f"{summary['ways']}-way, {summary['queries']} queries a class"
    where = (
        f"{task}, {summary['episodes']:,} episodes of "
        f"{_name(summary)} ({summary['split']} classes), testbed seed {summary['testbed_seed']}, "
        f"sha256 {summary['testbed_sha256'][:12]}"
    )
    ground = f"{_images(summary)} {summary['testbed_sha256']}"
    adaptation = summary.get("adaptation")
    how = _options(summary, "classifier") if adaptation is None else f"adapted {sorted(adaptation.items())}"
    return SavedValues(folder, "few_shot", ground, where, how, "episodes", figures, summary)


def _retrieval(folder: Path) -> SavedValues:
    saved = read_retrieval(folder)
    summary, found = saved.summary, saved.retrieval
    hits = zip(found.recall_at, found.hits, strict=True)
    figures = {
        **{f"R@{k}": hit.astype(np.float64) for k, hit in hits},
        "R-precision": found.r_precision,
        "MAP@R": found.map_at_r,
        "MRR": found.reciprocal_rank,
    }
    where = (
        f"{summary['queries']:,} queries among {summary['gallery']:,} images of {_name(summary)}, "
        f"sha256 {summary['queries_sha256'][:12]}"
    )
    ground = f"{_images(summary)} {summary['queries_sha256']}"
    return SavedValues(folder, "retrieval", ground, where, summary["similarity"], "queries", figures, summary)


def _continual(folder: Path) -> SavedValues:
    summary, matrices = read_summary_and_arrays(folder, ARRAYS, KINDS)
    figures = {
        f"{kind.replace('_', '-')}, final": matrix[-1].copy()
        for kind, matrix in zip(KINDS, matrices, strict=True)
    }
    stream = summary["scenario"]["sha256"]
    where = (
        f"{len(summary['scenario']['tasks'])} tasks of {_name(summary)}, {summary['evaluated']} images, "
        f"stream sha256 {stream[:12]}"
    )
    ground = f"{_images(summary)} {summary['evaluated']} {stream}"
    return SavedValues(folder, "continual", ground, where, "", "tasks", figures, summary)


def _name(summary: dict[str, Any]) -> str:
    return str(summary.get("data", "unnamed images"))


def _images(summary: dict[str, Any]) -> str:
    """Which images they are, whatever their size in pixels: the set, its form, and the classes that occur."""
    images = summary.get("images", {})
    classes = sha256("\n".join(sorted(summary.get("per_class", ()))).encode()).hexdigest()
    return f"{_SIZE.sub('', str(images.get('pack')))} {images.get('form')} {classes}"


def _options(summary: dict[str, Any], group: str) -> str:
    """The choice of a group with its options, as they would be typed."""
    node = summary.get("config", {}).get(group) or {}
    given = [f"{group}.{key}={value}" for key, value in sorted(node.items()) if key != "_target_"]
    return " ".join([f"{group}={summary.get(group)}", *given])
