"""What Hydra will compose, told from the YAML files alone.

It follows defaults lists as far as this project writes them (groups, `_self_`, `override /group`,
`# @package`). Where a file uses more, the part of the config below it is marked as open: nothing
is then said about its keys before Hydra, which is asked afterwards in any case.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fewshot.cli.conf_folder import ConfFolder

_PACKAGE = re.compile(r"^#\s*@package\s+(\S+)", re.MULTILINE)
EVERYTHING = ""


@dataclass
class Preview:
    """Attributes:
    choices: the choice of each group in the defaults list; None where it is null.
    values: the config, interpolations unresolved.
    open: dotted paths below which keys are unknown; EVERYTHING for the whole config.
    """

    choices: dict[str, str | None] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    open: set[str] = field(default_factory=set)

    def is_open(self, path: str) -> bool:
        """Whether keys at or below `path` may exist unseen."""
        return any(path == p or path.startswith(f"{p}.") or p == EVERYTHING for p in self.open)


def preview(conf: ConfFolder, name: str, chosen: Mapping[str, str]) -> Preview:
    """The config of `name`.yaml with the choices that the command line makes.

    Args:
        conf: where the files are.
        name: of the primary config, `train` or `eval`.
        chosen: group -> choice, from the arguments.
    """
    primary = conf.load(name)
    seen = Preview()
    entries = list(_entries(primary.pop("defaults", ["_self_"])))
    for group, choice in entries:
        if group != "_self_":
            seen.choices[group] = choice
    # A choice may override others and these again; as many rounds as groups reach the end of it.
    for _ in entries:
        overriding = _overrides(conf, seen.choices)
        seen.choices.update({g: c for g, c in (overriding | dict(chosen)).items() if g in seen.choices})
    for group, _ in entries:
        if group == "_self_":
            _merge(seen.values, primary)
        elif seen.choices[group] is not None:
            _add(seen, conf, group, str(seen.choices[group]))
    if all(group != "_self_" for group, _ in entries):
        _merge(seen.values, primary)
    return seen


def _entries(defaults: Any) -> Iterator[tuple[str, str | None]]:
    """(group, choice) for each entry of a defaults list; ("_self_", None) for the file itself."""
    for entry in defaults or ():
        if isinstance(entry, dict):
            for group, choice in entry.items():
                yield str(group).removeprefix("optional "), None if choice is None else str(choice)
        else:
            yield str(entry), None


def _overrides(conf: ConfFolder, choices: Mapping[str, str | None]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for group, choice in choices.items():
        if choice is not None:
            for entry, value in _entries(conf.load(f"{group}/{choice}").get("defaults")):
                if entry.startswith("override /"):
                    found[entry.removeprefix("override /")] = value
    return found


def _add(seen: Preview, conf: ConfFolder, group: str, choice: str) -> None:
    values = conf.load(f"{group}/{choice}")
    header = _PACKAGE.search(conf.text(f"{group}/{choice}"))
    package = header[1] if header else group.replace("/", ".")
    if "/" in choice and not header:
        seen.open.add(package)
    path = "" if package == "_global_" else package.removeprefix("_global_.")
    for entry, value in _entries(values.pop("defaults", None)):
        if value is None and entry != "_self_" and "/" not in entry and "@" not in entry:
            _add(seen, conf, group, entry)
        elif entry != "_self_" and not entry.startswith("override /"):
            # `/classifier@within: prototype` fills a node below this one.
            seen.open.add(".".join(filter(None, (path, entry.partition("@")[2]))))
    for part in reversed(path.split(".") if path else []):
        values = {part: values}
    _merge(seen.values, values)


def _merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = dict(value) if isinstance(value, dict) else value
