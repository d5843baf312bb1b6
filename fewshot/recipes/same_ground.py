"""From each run the one result that all of them can be compared by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewshot.as_typed import typed
from fewshot.config import plain
from fewshot.errors import InputError
from fewshot.recipes.run_record import CONFIG, load_config
from fewshot.recipes.saved_result import SavedValues

Load = Callable[[str], Mapping[str, Any]]
"""The values of conf/NAME.yaml."""

_PIXELS = ("size", "channels", "mean", "std", "resize", "residency")
"""Options of a data set that an evaluation takes from the model, or that change nothing."""


@dataclass(frozen=True)
class Named:
    """What was named on the command line.

    Attributes:
        run: its folder; of a result outside a run, the result's.
        results: of the run, or the one that was named.
        given: whether a result was named and not a run.
    """

    run: Path
    results: tuple[SavedValues, ...]
    given: bool


def on_same_ground(named: Sequence[Named], on: str | None, load: Load) -> list[tuple[Path, SavedValues]]:
    """A result for each of what was named, all measured on the same images and episodes.

    Args:
        named: in the order of the command line.
        on: part of the name of the evaluation that is meant.
        load: reads conf/, to say which command makes a missing result.

    Raises:
        InputError: results of different testbeds or images were named, a run lacks one on the ground of the
            others, or several evaluations are common to all.
    """
    fixed = [(one.run, one.results[0]) for one in named if one.given]
    for other in fixed[1:]:
        _refuse_others(fixed[0], other)
    if len(fixed) == len(named):
        return fixed
    wanted = fixed[0][1] if fixed else _common([one for one in named if not one.given], on, load)
    chosen = []
    for one in named:
        result = one.results[0] if one.given else _like(wanted, one.results)
        if result is None:
            raise InputError(lacking(one.run, wanted, load))
        chosen.append((one.run, result))
    return chosen


def _refuse_others(first: tuple[Path, SavedValues], other: tuple[Path, SavedValues]) -> None:
    (_, ours), (_, theirs) = first, other
    if ours.kind != theirs.kind:
        raise InputError(
            f"compare: {ours.folder} is an evaluation of {ours.kind}, {theirs.folder} of {theirs.kind}"
        )
    if ours.ground != theirs.ground:
        raise InputError(
            f"compare: {ours.folder} was measured on {ours.where}, but {theirs.folder} on {theirs.where}: "
            "only results on the same episodes of the same images can be paired"
        )


def _like(wanted: SavedValues, results: Sequence[SavedValues]) -> SavedValues | None:
    """The result on the ground of `wanted`, predicted in the same way if there is such a one."""
    alike = [r for r in results if (r.kind, r.ground) == (wanted.kind, wanted.ground)]
    same = [r for r in alike if r.how == wanted.how]
    return same[0] if same else None


def _common(named: Sequence[Named], on: str | None, load: Load) -> SavedValues:
    """The one result of the first run whose setting all runs have."""
    every = [result for one in named for result in one.results]
    if not every:
        raise InputError(
            f"compare: {named[0].run} has no evaluation yet; make one of each run: python eval.py "
            f"run={named[0].run}"
        )
    meant = [result for result in every if on is None or on in result.folder.name]
    if not meant:
        names = ", ".join(dict.fromkeys(result.folder.name for result in every))
        raise InputError(f"compare: on={on} is part of no evaluation's name; there are {names}")
    holders = {
        r.setting: [one for one in named if _like(r, one.results) is not None] for r in reversed(meant)
    }
    shared = [r for r in meant if len(holders[r.setting]) == len(named)]
    settings = {r.setting: r for r in reversed(shared)}
    if len(settings) > 1:
        names = ", ".join(sorted(r.folder.name for r in settings.values()))
        raise InputError(
            f"compare: the runs have {len(settings)} evaluations in common; choose with on=PART of the name "
            f"of one: {names}"
        )
    if settings:
        return next(iter(settings.values()))
    # The evaluation that most runs have, the first of them at a tie: the others are told how to make it.
    return max(meant, key=lambda result: len(holders[result.setting]))


def lacking(run: Path, wanted: SavedValues, load: Load) -> str:
    """One line on which command makes the missing result."""
    words = " ".join([f"run={run}", *evaluation_words(wanted, run, load)])
    return (
        f"compare: {run} has no evaluation like {wanted.folder} (on {wanted.where}); make it: "
        f"python eval.py {words}"
    )


def evaluation_words(wanted: SavedValues, run: Path, load: Load) -> list[str]:
    """The words of eval.py with which another run is measured as `wanted` was."""
    config = wanted.summary.get("config") or {}
    choices = config.get("choices") or {}
    defaults = load("eval")
    words = []
    if (evaluation := choices.get("evaluation", wanted.kind)) != "few_shot":
        words.append(f"evaluation={evaluation}")
    for group in ("evaluation", "classifier"):
        if (choice := choices.get(group)) is None or (group == "classifier" and wanted.kind != "few_shot"):
            continue
        if group == "classifier" and choice != "prototype":
            words.append(f"classifier={choice}")
        words += _options(config.get(group) or {}, load(f"{group}/{choice}"), group)
    episodes = ("ways", "shots", "queries", "episodes") if wanted.kind == "few_shot" else ()
    for key in (*episodes, "seed", "part"):
        if key in config and config[key] != defaults.get(key):
            words.append(f"{key}={typed(config[key])}")
    return [*words, *_data_words(wanted, run, load)] if wanted.kind != "continual" else words


def _data_words(wanted: SavedValues, run: Path, load: Load) -> list[str]:
    """The data set, where it is not what the run evaluates of itself."""
    node = (wanted.summary.get("config") or {}).get("data")
    theirs = wanted.folder.parent.parent
    if node is None:
        if not (theirs / CONFIG).is_file():
            return []
        node = plain(load_config(theirs).data)
    name = str(wanted.summary.get("data"))
    own = plain(load_config(run).data)
    if all(own.get(key) == value for key, value in node.items() if key not in _PIXELS):
        return []
    return [f"data={name}", *_options(node, load(f"data/{name}"), "data")]


def _options(node: Mapping[str, Any], defaults: Mapping[str, Any], group: str) -> list[str]:
    return [
        f"{group}.{key}={typed(value)}"
        for key, value in node.items()
        if key not in ("_target_", *_PIXELS) and key in defaults and value != defaults[key]
    ]
