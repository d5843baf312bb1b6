"""A run from its start, or from where it stopped, to its end: folder, record and trackers."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from fewshot.config import instantiate, plain
from fewshot.errors import InputError
from fewshot.recipes.run_record import resumable, save_config, save_record
from fewshot.tracking.guarded import GuardedTrackers, trackers
from fewshot.training import checkpoint
from fewshot.training.device import Machine, keep_memory, set_up
from fewshot.training.run_directory import new_run_dir
from fewshot.training.stopping import Stopped
from fewshot.whole_file import remove_unfinished


@dataclass(frozen=True)
class Start:
    """What a run starts from.

    Attributes:
        config: of the run; of one that goes on, what it began with.
        machine: what it computes on.
        folder: of a run that goes on; None of a new one.
        state: of its `last.pt`; None of a new one.
    """

    config: DictConfig
    machine: Machine
    folder: Path | None
    state: dict[str, Any] | None


def start(config: DictConfig) -> Start:
    """Set up the machine, and read the run that `resume` names.

    Raises:
        InputError: no such device, or a run that cannot go on.
    """
    folder, state = None, None
    if config.resume is not None:
        folder = Path(config.resume)
        saved = resumable(folder)
        state = checkpoint.load_last(folder)
        outcome = state.get("outcome")
        if not isinstance(outcome, dict) or type(outcome.get("steps")) is not int:
            raise InputError(f"resume={folder}: its last.pt is not the state of a training; train anew")
        config = OmegaConf.merge(saved, {"device": config.device, "threads": config.threads})  # type: ignore[assignment]
    if config.allocator:
        keep_memory()
    return Start(config, set_up(config.device, config.precision, config.threads), folder, state)


@dataclass
class Running:
    """A run in progress.

    Attributes:
        folder: of the run.
        tracker: where its figures go.
        record: what `run.json` holds; add to it.
    """

    folder: Path
    tracker: GuardedTrackers
    record: dict[str, Any] = field(default_factory=dict)


@contextmanager
def running(started: Start, name: str, record: dict[str, Any]) -> Iterator[Running]:
    """Make the folder of a new run and keep `run.json`; however the block ends, it says so.

    Of several processes the first makes, keeps and tracks, and the others are told the folder.

    Args:
        started: as `start` gave it.
        name: of the run, if it is new and has no name of its own.
        record: what `run.json` says of it beside its start and its machine: recipe, selection.
    """
    config, folder, processes = started.config, started.folder, started.machine.processes
    if folder is None:
        folder = processes.told_by_first(lambda: new_run_dir(Path(config.output_dir), config.name or name))
        if processes.first:
            save_config(folder, config)
    elif processes.first:
        remove_unfinished(folder)
    if not processes.first:
        yield Running(folder, GuardedTrackers({}), record)
        return
    record = {"status": "running", "started": _now(), "machine": started.machine.describe(), **record}
    save_record(folder, record)
    print(f"run {folder}", file=sys.stderr)
    step = None if started.state is None else int(started.state["outcome"]["steps"])
    tracker = trackers(
        folder, {name: partial(instantiate, node) for name, node in config.tracking.items()}, step
    )
    tracker.config(plain(config))
    status, exit_status = "failed", 1
    try:
        yield Running(folder, tracker, record)
        status, exit_status = "finished", 0
    except Stopped as stop:
        status, exit_status = "stopped", 128 + stop.signal
        raise
    finally:
        ended = {"ended": _now(), "peak_memory": started.machine.peak_memory()}
        save_record(folder, {**record, "status": status, **ended})
        tracker.close(exit_status)


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="microseconds")
