"""What `list` and `show` can speak of: the config groups, and the files of tables and sweeps."""

from __future__ import annotations

from fewshot.cli.conf_folder import ConfFolder
from fewshot.cli.preview import preview
from fewshot.errors import InputError
from fewshot.suggestion import did_you_mean

FILES = ("table", "sweep")
"""Folders of conf/ whose files are no choices: `python -m fewshot table NAME`, `wandb sweep FILE`."""


PROGRAMS = ("train", "eval", "predict")
"""Those that Hydra configures."""


def kinds(conf: ConfFolder) -> list[str]:
    """Every folder of conf/ that holds something to choose or to run."""
    groups = [group for group in conf.groups if group not in FILES]
    return [*groups, *(name for name in FILES if conf.choices(name))]


def refuse_unknown(conf: ConfFolder, group: str, verb: str) -> None:
    """Refuse a group that does not exist, and say where a choice of that name is.

    Raises:
        InputError: there is no such group.
    """
    known = kinds(conf)
    if group in known:
        return
    holders = [f"{other}/{group}" for other in known if group in conf.choices(other)]
    hint = f"; did you mean {' or '.join(holders)}?" if holders else did_you_mean(group, known)
    raise InputError(f"{verb}: there is no group '{group}'; the groups are {', '.join(known)}{hint}")


def programs(conf: ConfFolder, group: str) -> list[str]:
    """The programs that have the group."""
    return [name for name in PROGRAMS if group in preview(conf, name, {}).choices]


def chosen_by_default(conf: ConfFolder, group: str) -> set[str]:
    """What the programs choose of a group if nothing is typed."""
    found = {preview(conf, name, {}).choices[group] for name in programs(conf, group)}
    return {choice for choice in found if choice is not None}
