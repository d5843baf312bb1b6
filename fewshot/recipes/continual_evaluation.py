"""A finished stream measured anew: its method as it was saved, on every task."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from omegaconf import DictConfig, open_dict

from fewshot.continual.accuracy_matrix import AccuracyMatrix, read_matrices
from fewshot.continual.evaluation import evaluate
from fewshot.errors import InputError
from fewshot.evaluation.result_files import read_summary_and_arrays
from fewshot.recipes.continual_result import ARRAYS, AT_THE_END, StreamResult, print_result, save_stream
from fewshot.recipes.model import load_nothing
from fewshot.recipes.run_record import load_config, newest_run
from fewshot.recipes.stream_parts import stream_parts
from fewshot.recipes.tensor_card import required
from fewshot.training import checkpoint
from fewshot.training.device import keep_memory, set_up


@dataclass(frozen=True)
class ContinualEvaluation:
    """The last row of the accuracy matrices from `method.pt`, and all measures with it.

    Attributes:
        predict: which of the two predictions a table of runs shows of the result; both are measured.
    """

    predict: Literal["task_incremental", "class_incremental"] = "task_incremental"

    def __call__(self, config: DictConfig) -> Path:
        """Evaluate, print the measures and save the result.

        Returns:
            the path of result.json; matrices.npz lies beside it.

        Raises:
            InputError: anything the user can mend.
        """
        if config.data is not None:
            raise InputError(
                "data: evaluation=continual measures the stream that a run learned; leave it out"
            )
        if config.part != "test":
            raise InputError(f"part={config.part}: the run's scenario says which images are measured")
        if config.batch < 1:
            raise InputError(f"batch={config.batch} must be at least 1")
        if config.run is not None and Path(config.run).is_file():
            raise InputError(
                f"run={config.run}: evaluation=continual needs more of a run than one file: give its folder"
            )
        if config.allocator:
            keep_memory()
        machine = set_up(config.device, config.precision, config.threads)
        machine.processes.require_one("evaluation=continual")
        run = Path(config.run) if config.run is not None else newest_run(Path(config.output_dir), "continual")
        began = time.monotonic()
        learnt = finished_matrices(run)
        path = run / "method.pt"
        (method,) = required(checkpoint.load(path, machine.device), path, method=dict)
        saved, (untrained,) = read_summary_and_arrays(run / AT_THE_END, ARRAYS, ("untrained",))
        of_run = load_config(run)
        with open_dict(of_run):
            of_run.init = None
            load_nothing(of_run.backbone)
        parts = stream_parts(of_run, machine)
        try:
            parts.method.load_state_dict(method)
        except Exception as problem:  # a method's own state, beside tensors, can be damaged in any way
            said = " ".join(str(problem).split())
            raise InputError(f"{path} does not fit the stream of its run: {said:.200}") from problem

        tasks = range(len(parts.scenario.tasks))
        with machine.autocast():
            found = evaluate(
                parts.method,
                parts.scenario,
                parts.image_set,
                tasks,
                device=machine.device,
                batch=config.batch,
            )
        matrices = {
            kind: _with_last_row(matrix, row)
            for (kind, matrix), row in zip(learnt.items(), found, strict=True)
        }
        probe = np.array(saved["linear_probe"]["of_task"]) if "linear_probe" in saved else None
        result = StreamResult.of(of_run, parts, matrices, untrained, probe, machine)
        result.details.update(
            model=str(path),
            predict=self.predict,
            before=saved["before"],
            cost=saved["cost"],
            seconds=time.monotonic() - began,
        )
        saved_to = save_stream(run / "eval" / f"{AT_THE_END.name}-{self.predict}", result)
        print(f"run        {run}")
        print_result(result)
        print(f"saved      {saved_to}")
        return saved_to


def finished_matrices(run: Path) -> dict[str, AccuracyMatrix]:
    """The accuracies of a stream; InputError if its last task was not learned yet."""
    matrices = read_matrices(run)
    for matrix in matrices.values():
        unseen = [name for name, row in zip(matrix.names, matrix.accuracy, strict=True) if np.isnan(row[0])]
        if unseen:
            raise InputError(
                f"run={run}: task {unseen[0]} of {len(matrix.names)} was not learned yet, so it cannot be "
                f"evaluated; go on with python train.py resume={run}"
            )
    return matrices


def _with_last_row(
    matrix: AccuracyMatrix, row: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> AccuracyMatrix:
    accuracy = matrix.accuracy.copy()
    accuracy[-1] = row
    return replace(matrix, accuracy=accuracy)
