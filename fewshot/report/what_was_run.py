"""What was run: the command, what differs from the defaults, data, weights and machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import fewshot
from fewshot.report.markup import Markup, join, paragraph, table, tag
from fewshot.report.run_files import RunFiles
from fewshot.report.section import LeftOut


@dataclass(frozen=True)
class Command:
    """What makes a config again.

    Attributes:
        line: to type.
        differences: key, value and default of each option that is not at its default.
    """

    line: str
    differences: tuple[tuple[str, str, str], ...]


def what_was_run(run: RunFiles, command: Command | None) -> Markup:
    """Command, status, data, weights, hardware and versions."""
    config, record = run.config, run.record
    if not config and not record:
        raise LeftOut("config.yaml and run.json are missing or damaged")
    choices = config.get("choices") or {}
    facts: list[tuple[str, object]] = [
        ("Run", tag("code", run.folder)),
        ("Recipe", run.recipe),
        ("Status", _status(record)),
        ("Data", _data(config, choices)),
        ("Parts", ", ".join(f"{k} {choices[k]}" for k in _PARTS if choices.get(k) not in (None, "none"))),
        ("Weights", record.get("selection")),
        ("Seed", config.get("seed")),
        ("Trained on", _machine(record.get("machine"))),
        ("Report by", f"fewshot {fewshot.__version__}"),
    ]
    parts: list[Markup] = []
    if command is not None:
        worked_out = paragraph("Makes this config; worked out from config.yaml, whatever was typed.")
        parts += [tag("div", command.line, class_="words"), worked_out]
    known = [(title, value) for title, value in facts if value not in (None, "")]
    parts.append(tag("dl", *(join((tag("dt", title), tag("dd", value))) for title, value in known)))
    if command is not None and command.differences:
        rows = [tuple(tag("code", cell) for cell in row) for row in command.differences]
        told = f"Options away from their defaults ({len(rows)})"
        parts.append(
            tag("details", tag("summary", told), table(("option", "value", "default"), rows, caption=told))
        )
    elif command is not None:
        parts.append(paragraph("Every option of the chosen parts is at its default."))
    return join(parts)


_PARTS = ("experiment", "backbone", "head", "loss", "mixup", "memory", "continual", "sampler", "augment")


def _status(record: Mapping[str, Any]) -> str:
    if not record:
        return "unknown"
    told = str(record.get("status", "unknown"))
    for key, word in (("started", "started"), ("ended", "ended")):
        if record.get(key):
            told += f", {word} {str(record[key])[:19].replace('T', ' ')} UTC"
    return told


def _data(config: Mapping[str, Any], choices: Mapping[str, Any]) -> str:
    data = config.get("data") or {}
    told = str(choices.get("data") or data.get("_target_") or "")
    options = [
        f"{key} {data[key]}" for key in ("split", "size", "channels", "path") if data.get(key) is not None
    ]
    return f"{told} ({', '.join(options)})" if options else told


def _machine(machine: object) -> str:
    if not isinstance(machine, Mapping):
        return ""
    words = {"device": "{}", "cores": "{} cores", "threads": "threads {}", "precision": "{}"}
    versions = {"torch": "torch {}", "python": "Python {}"}
    return ", ".join(f.format(machine[k]) for k, f in {**words, **versions}.items() if k in machine)
