"""The folder of YAML files, read without Hydra: its groups, choices, values and comments.

PyYAML alone is imported here, so that `--help` and the check of the arguments answer at once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from fewshot.errors import InputError

# conf/sweep holds files for `wandb sweep`; the choices of conf/hydra are Hydra's own as well.
_NO_GROUPS = ("sweep", "hydra")
_KEY_WITH_COMMENT = re.compile(r"^( *)(\w+):[^#\n]*(?:#\s*(.*))?$")


def conf_path() -> Path:
    """The checkout's `conf/`, or in an installed package the copy within it (`fewshot.conf`)."""
    package = Path(__file__).resolve().parents[1]
    checkout = package.parent
    return checkout / "conf" if (checkout / "setup.cfg").is_file() else package / "conf"


@dataclass(frozen=True)
class ConfFolder:
    """Folders of YAML searched in order, as Hydra searches `--config-dir` before its own."""

    folders: tuple[Path, ...]

    @classmethod
    def found(cls, further: Sequence[Path] = ()) -> ConfFolder:
        """The project's own folder, after `further` ones."""
        return cls((*further, conf_path()))

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """Names of the config groups, sorted."""
        below = {path.name for folder in self.folders for path in folder.iterdir() if path.is_dir()}
        return tuple(sorted(name for name in below if name not in _NO_GROUPS and self.choices(name)))

    def choices(self, group: str) -> tuple[str, ...]:
        """What `group=` takes, sorted; files in subfolders as `subfolder/name`."""
        found = set()
        for folder in self.folders:
            for path in (folder / group).rglob("*.yaml"):
                found.add(path.relative_to(folder / group).with_suffix("").as_posix())
        return tuple(sorted(found))

    def text(self, name: str) -> str:
        """The file `name`.yaml; empty where there is none."""
        for folder in self.folders:
            path = folder / f"{name}.yaml"
            if path.is_file():
                return path.read_text(encoding="utf-8")
        return ""

    def load(self, name: str) -> dict[str, Any]:
        """The mapping that `name`.yaml holds.

        Raises:
            InputError: it is no YAML mapping.
        """
        try:
            loaded = yaml.load(self.text(name), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        except yaml.YAMLError as error:
            raise InputError(f"conf/{name}.yaml: {error}") from error
        if not isinstance(loaded, dict | None):
            raise InputError(f"conf/{name}.yaml: must hold KEY: VALUE lines")
        return loaded or {}

    def about(self, name: str) -> str:
        """The first comment line of `name`.yaml, which says what it is."""
        for line in self.text(name).splitlines():
            if line.startswith("#") and not line.startswith("# @"):
                return line.lstrip("# ")
            if line.strip() and not line.startswith("#"):
                break
        return ""

    def comments(self, name: str) -> dict[str, str]:
        """The comment at the end of each key's line, by the key's dotted path."""
        found: dict[str, str] = {}
        path: list[tuple[int, str]] = []
        for line in self.text(name).splitlines():
            match = _KEY_WITH_COMMENT.match(line)
            if match:
                indent = len(match[1])
                path = [*((i, key) for i, key in path if i < indent), (indent, match[2])]
                found[".".join(key for _, key in path)] = (match[3] or "").strip()
        return found
