"""The learning-rate schedule of a config node."""

from __future__ import annotations

from omegaconf import DictConfig
from torch.optim import Optimizer

from fewshot.config import instantiate
from fewshot.errors import InputError
from fewshot.training.schedule import Schedule


def schedule_for(node: DictConfig, optimizer: Optimizer, steps: int, steps_per_epoch: int) -> Schedule:
    """The learning-rate schedule of a config node: a torch scheduler, its unit and its warm-up.

    Raises:
        InputError: a value that torch would take and fail on in the middle of the run, or misuse.
    """
    options = {key: value for key, value in node.items() if key not in ("interval", "warmup")}
    if node.interval not in ("step", "epoch"):
        raise InputError(f"scheduler.interval={node.interval} must be step or epoch")
    if not isinstance(node.warmup, int) or node.warmup < 0:
        raise InputError(f"scheduler.warmup={node.warmup} must be a number of steps, 0 or more")
    for key in ("T_max", "step_size"):
        if (value := options.get(key)) is not None and not (isinstance(value, int) and value > 0):
            raise InputError(f"scheduler.{key}={value} must be a whole number, at least 1")
    milestones = options.get("milestones", [])
    if isinstance(milestones, (str, int, float)) or not all(isinstance(m, int) for m in milestones):
        raise InputError(f"scheduler.milestones={milestones} must be a list of whole numbers")
    if (gamma := options.get("gamma")) is not None and not (isinstance(gamma, (int, float)) and gamma > 0):
        raise InputError(f"scheduler.gamma={gamma} must be a number above 0")
    if options.get("T_max", 0) is None:
        options["T_max"] = steps if node.interval == "step" else max(1, steps // steps_per_epoch)
    scheduler = instantiate(options, optimizer=optimizer) if options["_target_"] is not None else None
    return Schedule(optimizer, scheduler, node.interval, node.warmup, steps_per_epoch)
