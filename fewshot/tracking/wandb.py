"""Weights & Biases, online or offline."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fewshot.tracking.flatten import flatten

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fewshot.tracking.tracker import Cell


class WandbTracker:
    """One wandb run for one run folder, however often it is resumed.

    The run's id is kept in wandb_id.txt in the folder. An id that the environment gives
    (WANDB_RUN_ID, as a sweep's agent does) goes first, for the agent waits for that run. Scalars are
    plotted against our own `step`, since wandb drops what comes with a lower step than its own, as
    the first lines of a resumed run do.

    Args:
        run_dir: of the run; wandb's files go below it.
        resume_step: not used: wandb goes on with the run of the same id.
        project, entity, group, tags: where wandb files the run; null entity is the user's default.
        name: shown for the run; null is the folder's name.
        mode: online, offline or disabled; null is what WANDB_MODE says, else online.

    Raises:
        wandb.errors.Error: online without a key or a connection.
    """

    def __init__(
        self,
        run_dir: Path,
        resume_step: int | None = None,
        *,
        project: str = "fewshot",
        entity: str | None = None,
        name: str | None = None,
        group: str | None = None,
        tags: Sequence[str] = (),
        mode: Literal["online", "offline", "disabled"] | None = None,
    ) -> None:
        import wandb

        self._wandb = wandb
        self._run = wandb.init(
            dir=run_dir,
            id=_run_id(run_dir),
            resume="allow",
            project=project,
            entity=entity,
            name=name or run_dir.resolve().name,
            group=group,
            tags=list(tags),
            mode=mode,
            # Neither a copy of the terminal's output nor lines of its own among the run's.
            settings=wandb.Settings(console="off", silent=True, init_timeout=30),
        )
        self._run.define_metric("step", hidden=True)
        self._run.define_metric("*", step_metric="step")

    def config(self, values: Mapping[str, object]) -> None:
        """Flattened with dots, so that no sweep parameter replaces a whole group."""
        self._run.config.update(flatten(values), allow_val_change=True)  # type: ignore[no-untyped-call]

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Logged with `step` as one of the values."""
        self._run.log({**values, "step": step})

    def figure(self, name: str, picture: Path | Figure, step: int) -> None:
        """An image of the run."""
        self._run.log({name: self._image(picture), "step": step})

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        """A wandb table. Its columns hold one type each: text where cells differ."""
        shown = list(zip(*(map(self._column, zip(*rows, strict=True))), strict=True))
        self._run.log({name: self._wandb.Table(columns=list(columns), data=[list(row) for row in shown])})

    def artifact(self, name: str, path: Path) -> None:
        """An artifact with one file."""
        # wandb takes letters, digits, dots, dashes and underscores only.
        artifact = self._wandb.Artifact(re.sub(r"[^\w.-]", "-", name, flags=re.ASCII), type="file")
        artifact.add_file(str(path))
        self._run.log_artifact(artifact)

    def summary(self, values: Mapping[str, object]) -> None:
        """Flattened into the run's summary, which sweeps optimise and tables of runs show."""
        self._run.summary.update(flatten(values))

    def close(self, status: int) -> None:
        """Finish; a run that SIGTERM stopped is marked so that a sweep starts it again."""
        if status == 128 + signal.SIGTERM:
            self._run.mark_preempting()
        try:
            self._run.finish(exit_code=status)
        except Exception:
            # wandb's own process has died; without this, wandb tries to reach it once more when Python ends.
            with contextlib.suppress(Exception):
                self._wandb.teardown(exit_code=status)
            raise

    def _image(self, picture: Any) -> Any:
        return self._wandb.Image(str(picture) if isinstance(picture, Path) else picture)

    def _column(self, cells: tuple[Any, ...]) -> list[Any]:
        """One column: numbers, texts, or images, never mixed."""
        given = [cell for cell in cells if cell is not None]
        if all(isinstance(cell, (int, float)) and not isinstance(cell, bool) for cell in given):
            return list(cells)
        if not any(isinstance(cell, (str, int, float)) for cell in given):
            return [cell if cell is None else self._image(cell) for cell in cells]
        return [cell if cell is None else str(cell) for cell in cells]


def _run_id(run_dir: Path) -> str:
    """The environment's id, else the folder's, else a new one; kept in the folder."""
    kept = run_dir / "wandb_id.txt"
    known = os.environ.get("WANDB_RUN_ID") or (
        kept.read_text(encoding="utf-8").strip() if kept.is_file() else ""
    )
    run_id = known or uuid.uuid4().hex[:8]
    kept.write_text(f"{run_id}\n", encoding="utf-8")
    return run_id
