"""Several trackers as one that never fails."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from fewshot.tracking.jsonl import JsonlTracker
from fewshot.tracking.tracker import Tracker

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fewshot.tracking.tracker import Cell

_log = logging.getLogger(__name__)


class Build(Protocol):
    """What makes a tracker of a run."""

    def __call__(self, *, run_dir: Path, resume_step: int | None) -> Tracker: ...


class GuardedTrackers:
    """Tells each tracker everything. One that fails is named in one warning and told the end alone.

    A run is worth more than its log: a server that is away, a full disk or a missing package must not
    end it, neither at the start, nor half way, nor at the last call. What the user stops
    (KeyboardInterrupt, SystemExit) is no failure of a tracker and passes.

    Args:
        builds: what makes each tracker, by the name to warn with. With none, nothing is tracked,
            which is what ranks above 0 want.
    """

    def __init__(self, builds: Mapping[str, Callable[[], Tracker]]) -> None:
        self._trackers: dict[str, Tracker] = {}
        self._failed: list[Tracker] = []
        for name, build in builds.items():
            try:
                self._trackers[name] = build()
            except Exception as error:
                _warn(name, "start", error)

    @property
    def live(self) -> tuple[str, ...]:
        """Names of the trackers that have not failed."""
        return tuple(self._trackers)

    def config(self, values: Mapping[str, object]) -> None:
        self._each("config", lambda tracker: tracker.config(values))

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        self._each("scalars", lambda tracker: tracker.scalars(values, step))

    def figure(self, name: str, picture: Path | Figure, step: int) -> None:
        self._each("figure", lambda tracker: tracker.figure(name, picture, step))

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        self._each("table", lambda tracker: tracker.table(name, columns, rows))

    def artifact(self, name: str, path: Path) -> None:
        self._each("artifact", lambda tracker: tracker.artifact(name, path))

    def summary(self, values: Mapping[str, object]) -> None:
        self._each("summary", lambda tracker: tracker.summary(values))

    def close(self, status: int) -> None:
        """Close each, those that failed as well, for what they hold; further calls reach none."""
        failed, self._failed = self._failed, []
        self._each("close", lambda tracker: tracker.close(status))
        self._trackers.clear()
        for tracker in failed:
            # Of its failure the user knows.
            with contextlib.suppress(Exception):
                tracker.close(status)

    def _each(self, call: str, tell: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self._trackers.items()):
            try:
                tell(tracker)
            except Exception as error:
                self._failed.append(self._trackers.pop(name))
                _warn(name, call, error)


def trackers(
    run_dir: Path, configured: Mapping[str, Build], resume_step: int | None = None
) -> GuardedTrackers:
    """The trackers of a run: jsonl always, and those configured.

    Args:
        run_dir: of the run; exists.
        configured: what makes each further tracker, by name.
        resume_step: the step a resumed run goes on from; None for a new run.
    """

    def bound(build: Build) -> Callable[[], Tracker]:
        return lambda: build(run_dir=run_dir, resume_step=resume_step)

    return GuardedTrackers(
        {name: bound(build) for name, build in {"jsonl": JsonlTracker, **configured}.items()}
    )


def _warn(name: str, call: str, error: Exception) -> None:
    said = (str(error).strip().splitlines() or [""])[0]
    _log.warning(
        "tracking: %s failed (%s: %s: %s); the run goes on without it", name, call, type(error).__name__, said
    )
