"""The config of a prediction: checked, made independent of the working directory, and read back to go on."""

from __future__ import annotations

import os
from pathlib import Path

from omegaconf import DictConfig, open_dict

from fewshot import saved_yaml
from fewshot.data.image_folders import printable
from fewshot.data.labelling import Found
from fewshot.errors import InputError
from fewshot.recipes.prediction_rows import read_state
from fewshot.recipes.run_record import CONFIG

_BESIDE_RESUME = ("resume", "device", "threads")


def check(config: DictConfig) -> None:
    """Refuse values that are of the right type and senseless.

    Raises:
        InputError: one line for the first.
    """
    if not config.query:
        raise InputError("query: needs a value; write query=DIR (--help shows examples)")
    if config.get("store") is not None and config.support:
        raise InputError(f"store={config.store}: it holds its own support; leave support or store out")
    if config.get("store") is None:
        check_support(config)
    check_numbers(config)


def check_support(config: DictConfig) -> None:
    """Refuse a missing support.

    Raises:
        InputError: there is none.
    """
    if not config.support:
        raise InputError("support: needs a value; write support=DIR (--help shows examples)")


def check_numbers(config: DictConfig) -> None:
    """Refuse numbers that are senseless.

    Raises:
        InputError: one line for the first.
    """
    if config.unreadable not in ("skip", "error"):
        raise InputError(f"unreadable={config.unreadable} must be skip or error")
    for key, least in (("top", 1), ("nearest", 1), ("batch", 1), ("thumbnails", 0)):
        if config[key] < least:
            raise InputError(f"{key}={config[key]} must be at least {least}")
    for key in ("temperature", "threshold"):
        if config[key] is not None and not config[key] > 0:
            raise InputError(f"{key}={config[key]} must be above 0")
    if not 0 <= config.false_alarms < 1:
        raise InputError(f"false_alarms={config.false_alarms} must be from 0 to below 1")


def config_of(folder: Path, typed: DictConfig) -> DictConfig:
    """The config of a prediction that goes on, with what may be typed beside `resume`.

    Raises:
        InputError: the folder holds no prediction, or one that is finished.
    """
    if read_state(folder)["status"] == "finished":
        raise InputError(f"resume={folder}: that prediction is finished; open {folder / 'index.html'}")
    try:
        config = saved_yaml.load(folder / CONFIG)
    except FileNotFoundError as error:
        raise InputError(f"{folder / CONFIG} cannot be read: {error.strerror}") from error
    if "support" not in config:
        raise InputError(f"{folder / CONFIG} is not the config of a prediction")
    for key in _BESIDE_RESUME:
        config[key] = typed[key]
    return config


def anywhere(config: DictConfig) -> DictConfig:
    """The config with whole paths, so that a prediction can go on from any working directory."""
    config = config.copy()

    def whole(path: str) -> str:
        return str(Path(os.path.expanduser(path)).absolute())

    with open_dict(config):
        several = not isinstance(config.query, str)
        config.query = [whole(word) for word in config.query] if several else whole(config.query)
        for key in ("support", "store", "run", "model", "output_dir"):
            config[key] = None if config.get(key) is None else whole(config[key])
        if config.backbone is not None and config.backbone.get("weights") is not None:
            config.backbone.weights = whole(config.backbone.weights)
    return config


def query_names(config: DictConfig, query: Found) -> list[str]:
    """How each image is called: below the folder if that is all that was given, else by its whole path."""
    root = Path(os.path.expanduser(config.query)) if isinstance(config.query, str) else Path()
    if isinstance(config.query, str) and root.is_dir():
        return [printable(path.relative_to(root).as_posix()) for path in query.paths]
    return [printable(str(path.absolute())) for path in query.paths]


def called(config: DictConfig) -> str:
    """What the folder is called, if nobody says."""
    return Path(os.path.expanduser(config.query)).absolute().stem if isinstance(config.query, str) else "list"
