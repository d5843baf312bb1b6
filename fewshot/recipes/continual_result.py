"""The result of a stream: its measures, printed and saved."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig
from torch import nn

from fewshot.config import plain
from fewshot.continual.accuracy_matrix import AccuracyMatrix
from fewshot.continual.measures import Session, forward_transfer, measures, sessions
from fewshot.continual.method import Method
from fewshot.continual.scenario import Scenario
from fewshot.evaluation.result_files import write_summary_and_arrays
from fewshot.recipes.continual_figure import save_sessions
from fewshot.recipes.stream_parts import StreamParts
from fewshot.training.device import Machine
from fewshot.whole_file import write_whole

ARRAYS = "matrices.npz"
AT_THE_END = Path("eval") / "continual"
"""Where training leaves its result, within the run's folder."""


@dataclass(frozen=True)
class StreamResult:
    """A finished stream.

    Attributes:
        matrices: by kind.
        measures: of each kind by name; `forward_transfer` is task-incremental alone.
        untrained: float64 [tasks], accuracies before any training.
        linear_probe: float64 [tasks]; None if not measured.
        sessions: of few-shot class-incremental learning; None of other streams.
        details: what else describes it: method, data, scenario, machine, cost.
    """

    matrices: Mapping[str, AccuracyMatrix]
    measures: Mapping[str, Mapping[str, float]]
    untrained: NDArray[np.float64]
    linear_probe: NDArray[np.float64] | None
    sessions: Session | None
    details: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        config: DictConfig,
        parts: StreamParts,
        matrices: Mapping[str, AccuracyMatrix],
        untrained: NDArray[np.float64],
        probe: NDArray[np.float64] | None,
        machine: Machine,
    ) -> StreamResult:
        """Take every measure of a finished stream.

        Raises:
            InputError: a task was not learned yet.
        """
        found = {kind: measures(matrix) for kind, matrix in matrices.items()}
        transfer = forward_transfer(matrices["task_incremental"].accuracy, untrained)
        found["task_incremental"]["forward_transfer"] = transfer
        cil = matrices["class_incremental"]
        of_sessions = sessions(cil.accuracy, cil.images) if config.scenario.shots is not None else None
        choices = config.get("choices") or {}
        details = {
            "method": choices.get("continual", type(parts.method).__name__),
            "options": plain(config.continual),
            "data": parts.source.name,
            "images": {"pack": parts.source.key, "form": parts.image_set.manifest.get("form")},
            "evaluated": parts.evaluated,
            "scenario": {
                "tasks": [len(task.classes) for task in parts.scenario.tasks],
                "class_order": config.class_order,
                "sha256": fingerprint(parts.scenario),
                **plain(config.scenario),
            },
            "before": parts.network.trained_on["before"],
            "seed": config.seed,
            "machine": machine.describe(),
        }
        return cls(matrices, found, untrained, probe, of_sessions, details)

    def figures(self) -> dict[str, float]:
        """The measures that exist, flat: "task_incremental/forgetting" and so on."""
        return {
            f"{kind}/{name}": value
            for kind, found in self.measures.items()
            for name, value in found.items()
            if not math.isnan(value)
        }


def fingerprint(scenario: Scenario) -> str:
    """SHA-256 of which images are trained on and evaluated in which task: equal sums mean equal streams."""
    digest = hashlib.sha256("\n".join(scenario.class_names).encode())
    for task in scenario.tasks:
        for array in (task.classes, task.train, task.evaluated, scenario.labels[task.train]):
            digest.update(np.int64(len(array)).tobytes() + np.ascontiguousarray(array, dtype="<i8").tobytes())
    return digest.hexdigest()


def kept_bytes(method: Method) -> int:
    """What a method keeps beside its embedder: heads, prototypes, snapshots, memories."""
    own = {id(tensor) for tensor in _tensors(method.embedder)}
    return sum(t.numel() * t.element_size() for t in _tensors(method) if id(t) not in own)


def _tensors(module: nn.Module) -> list[Any]:
    return [*module.parameters(), *module.buffers()]


def save_stream(folder: Path, result: StreamResult) -> Path:
    """Write result.json, matrices.npz and, of few-shot sessions, sessions.csv and sessions.png.

    Returns:
        the path of result.json.

    Raises:
        InputError: the folder cannot be written.
    """
    summary: dict[str, Any] = {"kind": "continual", **{k: dict(v) for k, v in result.measures.items()}}
    arrays = {kind: matrix.accuracy for kind, matrix in result.matrices.items()}
    arrays["untrained"] = result.untrained
    if result.linear_probe is not None:
        summary["linear_probe"] = {
            "mean": float(result.linear_probe.mean()),
            "of_task": result.linear_probe.tolist(),
        }
    if result.sessions is not None:
        summary["sessions"] = {name: values.tolist() for name, values in result.sessions._asdict().items()}
    saved = write_summary_and_arrays(folder, summary, result.details, ARRAYS, arrays)
    if result.sessions is not None:
        write_whole(folder / "sessions.csv", _csv(result.sessions))
        save_sessions(folder / "sessions.png", result.sessions)
    return saved


def _csv(sessions: Session) -> str:
    """A row after each session; empty where there is no new class yet."""
    rows = [",".join(("session", *sessions._fields))]
    for number, values in enumerate(zip(*sessions, strict=True)):
        rows.append(",".join((str(number), *("" if math.isnan(v) else repr(float(v)) for v in values))))
    return "\n".join(rows) + "\n"


_SHOWN = {
    "final_average": "final average",
    "average_incremental": "average incremental",
    "forgetting": "forgetting",
    "backward_transfer": "backward transfer",
    "forward_transfer": "forward transfer",
    "learning_accuracy": "learning accuracy",
    "final_average_by_images": "final average, by images",
    "average_incremental_by_images": "average incremental, by images",
}


def print_result(result: StreamResult) -> None:
    """The measures in per cent, both kinds beside each other."""
    print(f"measured   {result.details['evaluated']} images, {result.details['data']}")
    print(f"{'%':<32}{'task-incremental':>18}{'class-incremental':>19}")
    for name, title in _SHOWN.items():
        values = [
            result.measures[kind].get(name, math.nan) for kind in ("task_incremental", "class_incremental")
        ]
        if any(name in found for found in result.measures.values()):
            print(f"{title:<32}{_percent(values[0]):>18}{_percent(values[1]):>19}")
    if result.linear_probe is not None:
        print(f"{'linear probe':<32}{_percent(float(result.linear_probe.mean())):>18}")
    if result.sessions is not None:
        print(f"{'after session':<16}{'all':>8}{'base':>8}{'new':>8}{'harmonic':>10}")
        for number, row in enumerate(zip(*result.sessions, strict=True)):
            every, base, new, harmonic = map(_percent, row)
            print(f"{number:<16}{every:>8}{base:>8}{new:>8}{harmonic:>10}")


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value + 0.0:.2f}"
