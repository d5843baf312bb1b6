"""From the command line to a recipe: check, compose with Hydra, check again, call."""

from __future__ import annotations

import os
import secrets
import sys
import warnings
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import fewshot
from fewshot.cli.arguments import Arguments, parse
from fewshot.cli.check import check
from fewshot.cli.conf_folder import ConfFolder, conf_path
from fewshot.cli.failure import exit_status
from fewshot.cli.help import help_text
from fewshot.cli.program import Program
from fewshot.errors import InputError
from fewshot.processes import launched

_EXTRAS = {"submitit_": "slurm", "sweeper/optuna": "optuna"}
"""Part of Hydra's message about a plugin that is not installed -> the extra that brings it."""


def main(program: Program, words: Sequence[str] | None = None) -> int:
    """Run a program with the given words, or those of the command line; returns its exit status."""
    return exit_status(lambda: _main(program, sys.argv[1:] if words is None else words))


def _main(program: Program, words: Sequence[str]) -> int:
    arguments = parse(words)
    further = arguments.flag("--config-dir", "-cd")
    if further is not None and not Path(further).is_dir():
        raise InputError(f"--config-dir {further}: there is no such folder")
    conf = ConfFolder.found([Path(further)] if further else [])
    if arguments.flag("--help", "-h") is not None:
        print(help_text(program, conf, arguments))
        return 0
    if arguments.flag("--version") is not None:
        print(f"fewshot {fewshot.__version__}")
        return 0
    elsewhere = arguments.flag("--config-path", "-cp", "--config-name", "-cn", "--experimental-rerun")
    if elsewhere is None and not any(o.key == "hydra.searchpath" for o in arguments.overrides):
        check(arguments, conf, program.name, program.schema)
    return _run(program, arguments)


def _run(program: Program, arguments: Arguments) -> int:
    if launched().count > 1:
        # Or torch, which is not imported yet, writes a paragraph of advice from each process.
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    import hydra
    from hydra.errors import HydraException, OverrideParseException
    from omegaconf.errors import OmegaConfBaseException

    from fewshot.cli.job import Job

    # Hydra then raises its errors instead of printing them and leaving with status 1.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    # Hydra 1.4 would have version_base left out, with which 1.3 warns.
    warnings.filterwarnings("ignore", "The version_base parameter is deprecated")
    typed = sys.argv
    sys.argv = [typed[0], *arguments.words, *_run_folders(program, arguments)]
    job = Job(program, arguments.trust)
    try:
        hydra.main(version_base="1.3", config_path=str(conf_path()), config_name=program.name)(job)()
    except OverrideParseException as error:
        advice = "text with brackets, commas or spaces needs quotes of its own: \"KEY='TEXT'\""
        raise InputError(f"{error.override}: can't be read; {advice}") from error
    except (HydraException, OmegaConfBaseException) as error:
        if job.started:
            raise
        # What follows is where Hydra searched, over many lines.
        text = str(error).split("Config search path")[0]
        extra = next((extra for part, extra in _EXTRAS.items() if part in text), None)
        raise InputError(f"{text} pip install 'fewshot[{extra}]' brings it" if extra else text) from error
    finally:
        sys.argv = typed
    if job.failure is not None:
        raise job.failure
    return 0


def _run_folders(program: Program, arguments: Arguments) -> list[str]:
    """Overrides that keep Hydra from making folders and log files: a recipe makes its own run folder.

    A multirun still needs one folder, for what was swept over; its name is as unique as a run's.
    """
    given = {override.key for override in arguments.overrides}
    folder = f"{datetime.now():%Y-%m-%d_%H%M%S}_multirun_{secrets.token_hex(2)}"
    ours = {
        "hydra.run.dir": ".",
        "hydra.sweep.dir": "${output_dir}/" + folder,
        "hydra.sweep.subdir": ".",
        "hydra.output_subdir": "null",
        "hydra/job_logging": "none",
        "hydra.job.name": program.name,
    }
    return [f"{key}={value}" for key, value in ours.items() if key not in given]
