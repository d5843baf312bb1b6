"""The files of a run as a report reads them: what is missing or damaged is told, never an error."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from fewshot import saved_yaml
from fewshot.errors import InputError


@dataclass(frozen=True)
class Result:
    """One evaluation of a run.

    Attributes:
        folder: with result.json and its arrays.
        summary: what result.json holds.
    """

    folder: Path
    summary: dict[str, Any]

    @property
    def kind(self) -> str:
        """few_shot, retrieval or continual."""
        return str(self.summary.get("kind", "few_shot"))


@dataclass(frozen=True)
class RunFiles:
    """What a report is made of.

    Attributes:
        folder: of the run.
        config: it was started with; empty if unknown.
        record: of its start and end; empty if unknown.
        metrics: lines of metrics.jsonl.
        results: of its evaluations, the newest last.
        problems: one line on each file that is missing or damaged.
    """

    folder: Path
    config: dict[str, Any]
    record: dict[str, Any]
    metrics: list[dict[str, Any]]
    results: tuple[Result, ...]
    problems: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of the run's folder."""
        return self.folder.resolve().name

    @property
    def recipe(self) -> str:
        """few_shot, retrieval or continual; empty if unknown."""
        return str(self.record.get("recipe") or (self.config.get("choices") or {}).get("recipe") or "")


def read_run(folder: Path) -> RunFiles:
    """Read what is there of a run.

    Raises:
        InputError: there is no such folder, or nothing of a run in it.
    """
    if not folder.is_dir():
        raise InputError(f"report: there is no folder {folder}")
    problems: list[str] = []
    config = _mapping(folder / "config.yaml", problems)
    record = _mapping(folder / "run.json", problems)
    results = []
    for path in sorted(folder.glob("eval/*/result.json"), key=lambda p: (p.stat().st_mtime_ns, p.as_posix())):
        if summary := _mapping(path, problems):
            results.append(Result(path.parent, summary))
    if not (config or record or results or (folder / "best.pt").is_file()):
        raise InputError(f"report: {folder} is no run: it has neither config.yaml nor run.json nor results")
    metrics = _lines(folder / "metrics.jsonl", problems)
    return RunFiles(folder, config, record, metrics, tuple(results), tuple(problems))


def _mapping(path: Path, problems: list[str]) -> dict[str, Any]:
    """What a JSON or YAML file holds; empty, with a line in `problems`, where it holds no mapping."""
    short = path.relative_to(path.parents[2]) if path.name == "result.json" else path.name
    try:
        if path.suffix == ".json":
            content = json.loads(path.read_text(encoding="utf-8"))
        else:
            content = OmegaConf.to_container(saved_yaml.load(path))
    except FileNotFoundError:
        problems.append(f"{short} is missing")
        return {}
    except (OSError, ValueError, InputError, RecursionError) as error:
        problems.append(f"{short} is damaged ({_first_line(error)})")
        return {}
    if not isinstance(content, dict):
        problems.append(f"{short} is damaged (it holds no mapping)")
        return {}
    return content


def _lines(path: Path, problems: list[str]) -> list[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        problems.append("metrics.jsonl is missing")
        return []
    except OSError as error:
        problems.append(f"metrics.jsonl cannot be read ({_first_line(error)})")
        return []
    found, damaged = [], 0
    for line in text.splitlines():
        try:
            values = json.loads(line)
            int(values["step"])
            found.append(values)
        except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
            damaged += 1
    if damaged:
        problems.append(f"metrics.jsonl: {damaged} lines are damaged and left out")
    return found


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
