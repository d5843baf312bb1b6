"""Show one part: its options with defaults and types, its paper, what its docstring says, how to use it.

    python -m fewshot show loss/icnn               a loss
    python -m fewshot show data/cub                a data set
    python -m fewshot show experiment/metrix/cub   what a published setting sets
    python -m fewshot show sweep/prd               a sweep of wandb; table/NAME a table

Nothing is imported but the text of the files, so it answers at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fewshot.cli.conf_folder import ConfFolder, conf_path
from fewshot.cli.definition import Definition, definition
from fewshot.cli.help import columns, leaves, shown
from fewshot.cli.listing import FILES, programs, refuse_unknown
from fewshot.errors import InputError
from fewshot.suggestion import did_you_mean


def run(words: Sequence[str]) -> int:
    """Print what is known of the part; returns the exit status."""
    conf = ConfFolder.found()
    if len(words) != 1:
        raise InputError("show: needs one GROUP/NAME, such as loss/icnn; list shows what there is")
    group, _, name = words[0].replace("=", "/", 1).partition("/")
    refuse_unknown(conf, group, "show")
    choices = conf.choices(group)
    if not name or name not in choices:
        said = f"there is no {group}/{name}" if name else f"show: write {group}/NAME"
        raise InputError(f"{said}; NAME is one of {', '.join(choices)}{did_you_mean(name, choices)}")
    print("\n\n".join(part for part in _parts(conf, group, name) if part))
    return 0


def _parts(conf: ConfFolder, group: str, name: str) -> Iterator[str]:
    about = conf.about(f"{group}/{name}")
    yield f"{group}={name}: {about}" if about else f"{group}={name}"
    if group in FILES:
        yield conf.text(f"{group}/{name}").rstrip()
        yield f"use        {_command(conf, group, name)}"
        return
    values = conf.load(f"{group}/{name}")
    found = definition(str(values["_target_"])) if isinstance(values.get("_target_"), str) else None
    if found is not None:
        yield _source(found)
    globally = "# @package _global_" in conf.text(f"{group}/{name}")
    options = list(_options(conf, group, name, values, "" if globally else f"{group}.", found))
    title = "Sets" if globally else "Options, with the values they have if not given"
    yield f"{title}\n{columns(options)}" if options else "It has no options."
    yield f"use        {_command(conf, group, name)}"


def _source(found: Definition) -> str:
    root = conf_path().parent
    path = found.path.relative_to(root) if found.path.is_relative_to(root) else Path(*found.path.parts[-3:])
    indented = "\n".join(f"  {line}".rstrip() for line in found.about.splitlines())
    return f"{found.name}  ({path.as_posix()}:{found.node.lineno})\n{indented}".rstrip()


def _options(
    conf: ConfFolder, group: str, name: str, values: Mapping[str, Any], prefix: str, found: Definition | None
) -> Iterator[tuple[str, str]]:
    """(key with its default, type and what it is): the YAML's own words, else the docstring's."""
    for entry in values.get("defaults") or ():
        for key, choice in entry.items() if isinstance(entry, dict) else ():
            yield f"{str(key).removeprefix('override /')}={choice}", ""
    comments = conf.comments(f"{group}/{name}")
    types, explained = (found.arguments, found.explained) if found else ({}, {})
    for key, value in leaves({k: v for k, v in values.items() if k != "defaults"}):
        if key.split(".")[-1] == "_target_":
            continue
        said = comments.get(key) or explained.get(key, "")
        yield f"{prefix}{key}={shown(value)}", "; ".join(filter(None, (types.get(key, ""), said)))


def _command(conf: ConfFolder, group: str, name: str) -> str:
    if group == "table":
        return f"python -m fewshot table {name}"
    if group == "sweep":
        return f"wandb sweep --project fewshot conf/sweep/{name}.yaml, then wandb agent SWEEP"
    return "; ".join(f"python {program}.py {group}={name}" for program in programs(conf, group))
