"""One job that Hydra starts: the composed config checked and handed to its recipe."""

from __future__ import annotations

import contextlib
import os
import sys
import typing
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from fewshot.annotations import convert
from fewshot.cli.program import Program
from fewshot.cli.run_report import report_at_the_end
from fewshot.config import check_targets
from fewshot.errors import InputError
from fewshot.processes import launched
from fewshot.recipes.run_record import resumable
from fewshot.recipes.sweep_objective import objective, refuse_unmeasured
from fewshot.targets import resolve_target, trusting
from fewshot.training.stopping import Stopped


class Job:
    """The task function that Hydra calls, once or for each job of a multirun.

    Attributes:
        started: whether a recipe has been called: its errors are no longer the config's.
        failure: the InputError of a single run, or any error of one of several processes. It is kept
            instead of raised, since Hydra prints a line of its own for what a job raises; in a multirun
            that line names the job.
    """

    def __init__(self, program: Program, trust: tuple[str, ...]) -> None:
        self.program = program
        self.trust = trust
        self.started = False
        self.failure: Exception | None = None

    def __call__(self, config: DictConfig) -> Any:
        """Check the config and call its recipe.

        Raises:
            InputError: in a multirun, see `failure`.
            SystemExit: a signal stopped the recipe; it ends a multirun as well.
        """
        try:
            settle(config, self.program.schema)
            _add_choices(config)
            with trusting(self.trust):
                check_targets(config)
                recipe = self.program.instead or resolve_target(self._recipe_of(config), "recipe")
                self.started = True
                with _silent_unless_first():
                    if searching := _searching():
                        refuse_unmeasured(config)
                    made = recipe(config)
                if config.get("report") and launched().rank == 0:
                    report_at_the_end(made)
                return objective(made) if searching else made
        except Stopped as stop:
            with _silent_unless_first():
                print(f"stopped: {stop}", file=sys.stderr)
            raise SystemExit(128 + stop.signal) from stop
        except InputError as error:
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                raise
            self.failure = error
            return None
        except Exception as error:
            if launched().count == 1 or HydraConfig.get().mode == RunMode.MULTIRUN:
                raise
            self.failure = error
            return None

    def _recipe_of(self, config: DictConfig) -> str:
        """The recipe that the config names; of a run that goes on, the one it began with."""
        resumed = OmegaConf.select(config, "resume")
        # A program of one recipe reads its own folder.
        chosen = config if resumed is None or "recipe" not in config else resumable(Path(resumed))
        return str(OmegaConf.select(chosen, "recipe._target_", default=self.program.recipe))


def _searching() -> bool:
    """Whether a sweeper looks for the best options and so needs a figure of each run.

    Raises:
        InputError: it looks for the worst.
    """
    hydra = HydraConfig.get()
    if hydra.mode != RunMode.MULTIRUN or hydra.sweeper._target_.endswith(".BasicSweeper"):
        return False
    direction = str(hydra.sweeper.get("direction", "maximize")).rpartition(".")[2]
    if direction != "maximize":
        raise InputError(
            f"hydra.sweeper.direction={direction}: figures are better when higher; use "
            "hydra/sweeper=search, or hydra.sweeper.direction=maximize"
        )
    return True


@contextlib.contextmanager
def _silent_unless_first() -> Iterator[None]:
    """Of several processes that do the same, the first is heard; an error leaves the block, and is told."""
    if launched().rank == 0:
        yield
        return
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield


def _add_choices(config: DictConfig) -> None:
    """Add `choices`, group -> choice, and a null for each group without one, so that it can be read."""
    choices = HydraConfig.get().runtime.choices
    with open_dict(config):
        config.choices = {group: name for group, name in choices.items() if not group.startswith("hydra/")}
        for group, name in config.choices.items():
            if name is None and "@" not in group and group not in config:
                config[group] = None


def settle(config: DictConfig, schema: type) -> None:
    """Resolve interpolations and convert the keys outside groups to the schema's types, in place.

    Raises:
        InputError: an interpolation that leads nowhere, a mandatory value (`???`) that is missing,
            a value of the wrong type (in an experiment's file, say).
    """
    try:
        _read_all(config)
    except MissingMandatoryValue as error:
        raise InputError(f"{error.full_key}: needs a value; write {error.full_key}=VALUE") from error
    except OmegaConfBaseException as error:
        raise InputError(f"{error.full_key}: {str(error).splitlines()[0]}") from error
    OmegaConf.resolve(config)
    _convert_keys(config, schema, "")


def _read_all(node: DictConfig | ListConfig) -> None:
    """Read every value once: unlike `OmegaConf.resolve`, an error then knows its key."""
    for key in list(node) if isinstance(node, DictConfig) else range(len(node)):
        value = node[key]
        if isinstance(value, (DictConfig, ListConfig)):
            _read_all(value)


def _convert_keys(config: DictConfig, schema: type, prefix: str) -> None:
    for key, annotation in typing.get_type_hints(schema).items():
        if key not in config:
            continue
        if is_dataclass(annotation):
            if not isinstance(config[key], DictConfig):
                options = ", ".join(f"{prefix}{key}.{name}" for name in typing.get_type_hints(annotation))
                raise InputError(f"{prefix}{key}: has no value of its own; its keys are {options}")
            _convert_keys(config[key], typing.cast(type, annotation), f"{prefix}{key}.")
            continue
        value = config[key]
        plain = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
        try:
            config[key] = convert(plain, annotation)
        except TypeError as error:
            raise InputError(f"{prefix}{key}: {error}") from None
