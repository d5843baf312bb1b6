"""The text of `--help`: examples, groups with their choices, keys with their defaults."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fewshot.cli.arguments import Arguments, literal
from fewshot.cli.conf_folder import ConfFolder
from fewshot.cli.preview import Preview, preview
from fewshot.cli.program import Program


def help_text(program: Program, conf: ConfFolder, arguments: Arguments) -> str:
    """What `--help` prints; groups chosen in the same command are described with their options."""
    typed = {o.key: str(literal(o.values[0])) for o in arguments.overrides if o.key in conf.groups}
    typed = {group: choice for group, choice in typed.items() if choice in conf.choices(group)}
    seen = preview(conf, program.name, typed)
    command = _command(program)
    parts = [
        f"{command} KEY=VALUE ...\n\n{program.summary}",
        "Examples\n" + columns((f"{command} {words}".rstrip(), about) for words, about in program.examples),
        "Parts: GROUP=CHOICE, the choice in use in [brackets]; its options are GROUP.OPTION=VALUE\n"
        + columns((group, _choices(conf, seen, group)) for group in seen.choices),
        "Keys, with the values they have if not given\n" + columns(_keys(program, conf, seen)),
        *(_options(conf, seen, group) for group in typed if group in seen.choices),
        "More\n"
        + columns(
            [
                (f"{command} GROUP=CHOICE --help", "the options of that choice as well"),
                (f"{command} ... --cfg job", "print the whole config and run nothing"),
                (f"{command} ... -m KEY=A,B", "one run for each value (Hydra's multirun)"),
                ("trust=[PACKAGE]", "allow classes of your own package in _target_"),
                ("FEWSHOT_TRACEBACK=1", "in the environment: errors with their traceback"),
            ]
        ),
    ]
    return "\n\n".join(parts)


def _command(program: Program) -> str:
    """How the user called us: `python train.py`, `fewshot-train`, `python -m fewshot train`."""
    called = Path(sys.argv[0]).name
    if called == "__main__.py":
        return f"python -m fewshot {program.name}"
    if called == "fewshot":
        return f"fewshot {program.name}"
    return f"python {called}" if called.endswith(".py") else called


def columns(rows: Iterator[tuple[str, str]] | list[tuple[str, str]]) -> str:
    """Two columns; the right one wraps within the terminal's width."""
    rows = list(rows)
    left = min(max((len(first) for first, _ in rows), default=0), 58)
    width = max(min(shutil.get_terminal_size().columns, 130) - left - 4, 30)
    lines = []
    for first, second in rows:
        wrapped = textwrap.wrap(second, width, break_long_words=False, break_on_hyphens=False) or [""]
        lines.append(f"  {first:<{left}}  {wrapped[0]}".rstrip())
        lines.extend(f"  {'':<{left}}  {line}" for line in wrapped[1:])
    return "\n".join(lines)


def _choices(conf: ConfFolder, seen: Preview, group: str) -> str:
    chosen = seen.choices[group]
    return "  ".join(f"[{choice}]" if choice == chosen else choice for choice in conf.choices(group))


def _keys(program: Program, conf: ConfFolder, seen: Preview) -> Iterator[tuple[str, str]]:
    comments = conf.comments(program.name)
    own = {key: value for key, value in conf.load(program.name).items() if key != "defaults"}
    for key, _ in leaves(own):
        value: Any = seen.values
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        yield f"{key}={shown(value)}", comments.get(key, "")


def _options(conf: ConfFolder, seen: Preview, group: str) -> str:
    choice = f"{group}/{seen.choices[group]}"
    comments = conf.comments(choice)
    about = conf.about(choice)
    rows = [
        (f"{group}.{key}={shown(value)}", comments.get(key, ""))
        for key, value in leaves(conf.load(choice))
        if key != "_target_" and not key.endswith("._target_") and not key.startswith("defaults")
    ]
    return f"{group}={seen.choices[group]}{': ' if about else ''}{about}\n" + columns(rows)


def leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of everything that is no mapping with keys."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def shown(value: Any) -> str:
    """A value as it is typed on the command line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return "[" + ",".join(map(shown, value)) + "]" if isinstance(value, list) else str(value)
