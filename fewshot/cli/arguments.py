"""The words of the command line, sorted into Hydra's flags and overrides and taken apart."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from fewshot.errors import InputError
from fewshot.suggestion import did_you_mean

_ASSIGNMENT = re.compile(
    r"(?P<prefix>\+\+|\+|~)?(?P<key>[\w./\-$]+)(?:@(?P<package>[^=]*))?(?:=(?P<text>.*))?", re.DOTALL
)
_SWITCHES = ("--help", "-h", "--hydra-help", "--version", "--resolve", "--run", "-r", "--multirun", "-m",
             "--shell-completion", "-sc")  # fmt: skip
_WITH_VALUE = ("--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn",
               "--config-dir", "-cd", "--experimental-rerun")  # fmt: skip
_INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")


@dataclass(frozen=True)
class Override:
    """One `KEY=VALUE`, with Hydra's prefix (`+`, `++`, `~`) and `@package` if given."""

    word: str
    prefix: str
    key: str
    package: str | None
    text: str | None

    @property
    def values(self) -> list[str]:
        """The value, or the several of a sweep (`loss=icnn,prototypical`)."""
        return split_at_commas(self.text or "")


@dataclass
class Arguments:
    """Attributes:
    flags: Hydra's, each with its value.
    overrides: in the order given.
    trust: packages of `trust=[...]`; kept from Hydra and so from every config that is saved.
    """

    flags: list[tuple[str, str | None]] = field(default_factory=list)
    overrides: list[Override] = field(default_factory=list)
    trust: tuple[str, ...] = ()

    def flag(self, *names: str) -> str | None:
        """The value of a flag, "" for a switch, None if it was not given."""
        return next((value or "" for name, value in self.flags if name in names), None)

    @property
    def words(self) -> list[str]:
        """For Hydra: flags first, since its parser takes overrides in one piece only."""
        flags = [word for flag in self.flags for word in flag if word is not None]
        return [*flags, *(override.word for override in self.overrides)]


def parse(words: Sequence[str]) -> Arguments:
    """Sort and take apart.

    Raises:
        InputError: a flag that does not exist, a flag without its value, an override that is none.
    """
    arguments = Arguments()
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        if word.startswith("-"):
            arguments.flags.append(_flag(word, waiting))
            continue
        override = _override(word)
        if override.key == "trust":
            arguments.trust += _packages(override)
        else:
            arguments.overrides.append(override)
    return arguments


def split_at_commas(text: str) -> list[str]:
    """Split at the commas outside brackets and quotes: `a,b` in two, `[a,b]` and `choice(a,b)` not."""
    parts, depth, quote = [""], 0, ""
    for previous, character in zip(f" {text}", text, strict=False):
        if quote:
            quote = "" if character == quote and previous != "\\" else quote
        elif character in "'\"" and previous != "\\":
            quote = character
        elif character in "[{(":
            depth += 1
        elif character in "]})":
            depth -= 1
        if character == "," and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def literal(text: str) -> Any:
    """The plain value that Hydra's grammar makes of `text`; a string if it is nothing else."""
    if re.fullmatch(r"(['\"]).*\1", text, re.DOTALL):
        return text[1:-1]
    lowered = text.lower()
    if lowered in ("null", "true", "false"):
        return {"null": None, "true": True, "false": False}[lowered]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    if text.startswith(("[", "{")):
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError:
            return text
    return text


def _flag(word: str, waiting: list[str]) -> tuple[str, str | None]:
    name, equals, value = word.partition("=")
    if name in _SWITCHES and not equals:
        return name, None
    if name in _WITH_VALUE:
        if not equals and not waiting:
            raise InputError(f"{name} needs a value; --help shows examples")
        given = value if equals else waiting.pop(0)
        if name in ("--cfg", "-c") and given not in ("job", "hydra", "all"):
            raise InputError(f"{name} {given}: must be job, hydra or all")
        return name, given
    if name in ("--info", "-i"):
        return name, value if equals else waiting.pop(0) if waiting and waiting[0] in _INFO else "all"
    key = name.lstrip("-")
    if not equals and waiting and "=" not in waiting[0] and not waiting[0].startswith("-"):
        value, equals = waiting[0], "="
    if equals and re.fullmatch(r"[A-Za-z][\w./@]*", key):
        raise InputError(f"{word}: write {key}={value}, without dashes")
    raise InputError(f"unknown flag {word}: options are written KEY=VALUE{did_you_mean(name, _FLAGS)}")


_FLAGS = [name for name in (*_SWITCHES, *_WITH_VALUE, "--info") if name.startswith("--")]


def _override(word: str) -> Override:
    match = _ASSIGNMENT.fullmatch(word)
    if match is None:
        raise InputError(f"'{word}' is no option; write KEY=VALUE without spaces around =")
    parts = match.groupdict()
    return Override(word, parts["prefix"] or "", parts["key"], parts["package"], parts["text"])


def _packages(override: Override) -> tuple[str, ...]:
    value = literal(override.text or "")
    names = value if isinstance(value, list) else [value]
    if not names or not all(isinstance(n, str) and re.fullmatch(r"[A-Za-z_][\w.]*", n) for n in names):
        raise InputError(f"{override.word}: write trust=[PACKAGE,...] with the names of Python packages")
    return tuple(names)
