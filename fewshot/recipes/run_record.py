"""What a run leaves beside its checkpoints: its config and how it ended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from fewshot import saved_yaml
from fewshot.errors import InputError
from fewshot.whole_file import write_whole

CONFIG = "config.yaml"
RECORD = "run.json"


def save_config(folder: Path, config: DictConfig) -> None:
    """Write the composed config of a run."""
    _write(folder / CONFIG, OmegaConf.to_yaml(config))


def load_config(folder: Path) -> DictConfig:
    """The config that a run was started with.

    Raises:
        InputError: the folder holds no run.
    """
    try:
        config = saved_yaml.load(folder / CONFIG)
    except FileNotFoundError as problem:
        raise InputError(f"{folder} is no run: it has no {CONFIG}") from problem
    if not {"recipe", "data"} <= config.keys():
        raise InputError(f"{folder / CONFIG} is not the config of a run")
    return config


def save_record(folder: Path, record: dict[str, Any]) -> None:
    """Write how a run stands: `recipe`, `status` (running, stopped, failed or finished) and its figures."""
    _write(folder / RECORD, json.dumps(record, indent=2) + "\n")


def read_record(folder: Path) -> dict[str, Any]:
    """How a run stands; empty if the folder holds none that can be read."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def resumable(folder: Path) -> DictConfig:
    """The config of a run that can go on.

    Raises:
        InputError: it is a file or no run, or is finished.
    """
    if folder.is_file():
        raise InputError(f"resume={folder} is a file: give the folder of the run")
    if read_record(folder).get("status") == "finished":
        raise InputError(
            f"resume={folder}: that run is finished; evaluate it with python eval.py run={folder}"
        )
    return load_config(folder)


def newest_run(folder: Path, *recipes: str) -> Path:
    """The newest finished run of one of the recipes below `folder`.

    Raises:
        InputError: there is none.
    """
    found = []
    for path in folder.glob(f"**/{RECORD}") if folder.is_dir() else ():
        record = read_record(path.parent)
        if record.get("recipe") in recipes and record.get("status") == "finished":
            found.append((str(record.get("ended", "")), path.parent))
    if not found:
        raise InputError(
            f"there is no finished {' or '.join(recipes)} run below {folder}: train one "
            f"(python train.py recipe={recipes[0]}), "
            "or name one with run=FOLDER"
        )
    return max(found)[1]


def _write(path: Path, text: str) -> None:
    try:
        write_whole(path, text)
    except OSError as problem:
        raise InputError(
            f"cannot write {path}: {problem.strerror or problem}; choose output_dir="
        ) from problem
