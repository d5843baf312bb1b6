"""Methods compared on the same episodes: paired differences over episodes, or over training seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fewshot.errors import InputError
from fewshot.evaluation.intervals import Interval, mean_interval, paired_difference, seed_interval
from fewshot.evaluation.result_files import SUMMARY
from fewshot.recipes.run_differences import choices_of, differences, label, settings_of
from fewshot.recipes.run_record import CONFIG, load_config
from fewshot.recipes.same_ground import Load, Named, on_same_ground
from fewshot.recipes.saved_result import SavedValues, read_values, values_of_run
from fewshot.tracking.flatten import Leaf

_OF_SWEEP = ("multirun.yaml", "optimization_results.yaml")
"""What Hydra leaves in a folder beside the runs of a sweep, which `runs/SWEEP/*` names as well."""


@dataclass(frozen=True, eq=False)
class Method:
    """Runs that differ in the training seed alone.

    Attributes:
        label: in what it differs from the other methods.
        results: by training seed.
    """

    label: str
    results: dict[int, SavedValues]


@dataclass(frozen=True)
class Row:
    """A method in one figure.

    Attributes:
        method: its label.
        mean: over seeds, or over episodes of a single seed.
        difference: to the first method, paired; None of the first itself.
        wins, ties, losses: episodes in which it is better than the first, as good, and worse; of all seeds
            compared.
        seeds: it was trained with.
        paired: seeds by which the difference was taken.
    """

    method: str
    mean: Interval
    difference: Interval | None
    wins: int
    ties: int
    losses: int
    seeds: tuple[int, ...]
    paired: int


def methods_of(paths: Sequence[Path], on: str | None, load: Load) -> list[Method]:
    """The results of runs, or the folders of results, grouped into methods on one common ground.

    Args:
        paths: folders of runs or of results (`runs/RUN/eval/SETTING`), the first of the method that others
            are compared with.
        on: part of the name of the evaluation that is meant, where the runs have several in common.
        load: reads conf/, to say which command makes a missing result.

    Raises:
        InputError: no common ground, or several.
    """
    paths = [path for path in paths if not any((path / name).is_file() for name in _OF_SWEEP)]
    if len(paths) < 2:
        raise InputError("compare: needs two runs or more: python -m fewshot compare RUN_A RUN_B")
    if repeated := [path for i, path in enumerate(paths) if path.resolve() in _resolved(paths[:i])]:
        raise InputError(f"compare: {repeated[0]} is given twice")
    chosen = on_same_ground([_named(path) for path in paths], on, load)
    return _grouped(chosen)


def compare(methods: Sequence[Method]) -> dict[str, list[Row]]:
    """Every figure that all results have: a row for each method, the others against the first.

    Raises:
        InputError: there is one method alone, or one that shares no training seed with the first.
    """
    if len(methods) < 2:
        seeds = ", ".join(map(str, methods[0].results))
        raise InputError(f"compare: these are seeds {seeds} of one method; add a run of another")
    results = [result for method in methods for result in method.results.values()]
    names = [name for name in results[0].figures if all(name in result.figures for result in results)]
    if not names:
        raise InputError("compare: these results have no figure in common")
    return {name: [_row(name, method, methods[0]) for method in methods] for name in names}


def _resolved(paths: Sequence[Path]) -> list[Path]:
    return [path.resolve() for path in paths]


def _named(path: Path) -> Named:
    if path.is_file() and path.name == SUMMARY:
        path = path.parent
    if (path / SUMMARY).is_file():
        run = path.parent.parent
        return Named(run if (run / CONFIG).is_file() else path, (read_values(path),), given=True)
    if not path.exists():
        raise InputError(f"compare: there is no run or result {path}")
    if not path.is_dir() or not (path / CONFIG).is_file():
        raise InputError(f"compare: {path} is neither a run (with {CONFIG}) nor a result (with {SUMMARY})")
    return Named(path, tuple(values_of_run(path)), given=False)


def _grouped(chosen: Sequence[tuple[Path, SavedValues]]) -> list[Method]:
    """Runs with the same settings and other seeds are one method, in the order in which they come."""
    settings: list[dict[str, Leaf]] = []
    choices: list[dict[str, str]] = []
    members: list[dict[int, tuple[Path, SavedValues]]] = []
    ways = {result.how for _, result in chosen}
    for run, result in chosen:
        known = (run / CONFIG).is_file()
        config = load_config(run) if known else None
        own: dict[str, Leaf] = {"run": str(run)} if config is None else settings_of(config)
        if len(ways) > 1:
            own |= {"evaluation": result.how}
        seed = 0 if config is None else int(config.get("seed", 0))
        # The same settings and seed once more are a method of their own: the code may have changed.
        same = [i for i, other in enumerate(settings) if other == own and seed not in members[i]]
        if same:
            members[same[0]][seed] = (run, result)
            continue
        settings.append(own)
        choices.append({} if config is None else choices_of(config))
        members.append({seed: (run, result)})
    told = differences(settings, choices)
    labels = [label(t, next(iter(m.values()))[0].name) for t, m in zip(told, members, strict=True)]
    if len(set(labels)) < len(labels):
        labels = [next(iter(m.values()))[0].name for m in members]
    return [
        Method(text, {seed: result for seed, (_, result) in sorted(member.items())})
        for text, member in zip(labels, members, strict=True)
    ]


def _row(name: str, method: Method, first: Method) -> Row:
    values = [result.figures[name] for result in method.results.values()]
    means = [float(array.mean()) for array in values]
    mean = mean_interval(values[0]) if len(values) == 1 else seed_interval(means)
    seeds = tuple(method.results)
    if method is first:
        return Row(method.label, mean, None, 0, 0, 0, seeds, 0)
    pairs = _pairs(name, method, first)
    if len(pairs) == 1:
        difference = paired_difference(*pairs[0])
    else:
        difference = seed_interval([float((ours - theirs).mean()) for ours, theirs in pairs])
    # A fraction of queries that is equal need not be so in its last bit.
    signs = np.concatenate([np.where(np.isclose(a, b, 0, 1e-12), 0, np.sign(a - b)) for a, b in pairs])
    wins, ties, losses = (int((signs == sign).sum()) for sign in (1, 0, -1))
    return Row(method.label, mean, difference, wins, ties, losses, seeds, len(pairs))


def _pairs(name: str, method: Method, first: Method) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Values of both by common training seed; of two single runs whatever their seeds."""
    ours, theirs = method.results, first.results
    if len(ours) == len(theirs) == 1:
        return [(next(iter(ours.values())).figures[name], next(iter(theirs.values())).figures[name])]
    common = [seed for seed in ours if seed in theirs]
    if not common:
        raise InputError(
            f"compare: {method.label} was trained with seeds {', '.join(map(str, ours))} and {first.label} "
            f"with {', '.join(map(str, theirs))}; seeds are paired, so at least one must be of both"
        )
    return [(ours[seed].figures[name], theirs[seed].figures[name]) for seed in common]
