"""YAML that this project wrote, read back as if a stranger had: a run's folder can come from anywhere."""

from __future__ import annotations

from pathlib import Path

import yaml
from omegaconf import DictConfig, OmegaConf

from fewshot.errors import InputError

_MOST_BYTES = 4 << 20


def load(path: Path) -> DictConfig:
    """The mapping in a file.

    Raises:
        FileNotFoundError: it is not there.
        InputError: it is damaged, holds no mapping, or makes more of itself than it says.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{path} is too large to be a saved config")
        text = path.read_text(encoding="utf-8")
        # A few lines of aliases of aliases stand for more than any memory holds; none is ever written here.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise InputError(f"{path} is no saved config: it holds an alias")
        found = OmegaConf.create(text)
    except (InputError, FileNotFoundError):
        raise
    except Exception as problem:  # whatever YAML and OmegaConf meet in a damaged file
        said = (str(problem).splitlines() or [type(problem).__name__])[0]
        raise InputError(f"{path} cannot be read: {said:.200}") from problem
    if not isinstance(found, DictConfig):
        raise InputError(f"{path} is no saved config")
    return found
