"""The one figure of a run that a search over options maximises: of validation, never of test images."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from fewshot.errors import InputError
from fewshot.evaluation.result_files import SUMMARY
from fewshot.recipes.continual_result import AT_THE_END
from fewshot.recipes.run_record import read_record
from fewshot.recipes.saved_result import read_values


def refuse_unmeasured(config: DictConfig) -> None:
    """Refuse, before it is trained, a run without the figure that a search needs.

    Raises:
        InputError: it validates nothing, or a stream measures its test images.
    """
    if "_target_" in (config.get("continual") or {}):
        if config.scenario.validation_share == 0:
            raise InputError("a search may not choose by test images: add scenario.validation_share=0.1")
    elif config.get("validation") is None or config.validation.every == 0:
        raise InputError("a search maximises the validation: set validation.every to a number of steps")


def objective(run: Path) -> float:
    """The best validation of a finished run; of a stream its class-incremental final average.

    Raises:
        InputError: the run has none.
    """
    found = validation_of(run)
    if found is None:
        raise InputError(f"{run} has no validation that a search could maximise")
    return found


def validation_of(run: Path) -> float | None:
    """The validation of a run, a share; None where nothing but test images was measured."""
    best = read_record(run).get("best")
    if isinstance(best, (int, float)):
        return float(best)
    if (run / AT_THE_END / SUMMARY).is_file():
        saved = read_values(run / AT_THE_END)
        if saved.summary["evaluated"] == "validation":
            return float(saved.summary["class_incremental"]["final_average"])
    return None
