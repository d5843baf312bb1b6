"""Plain files in the run's folder: what every run writes, whatever else it is tracked by."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fewshot.tracking.flatten import flatten
from fewshot.whole_file import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fewshot.tracking.tracker import Cell


class JsonlTracker:
    """metrics.jsonl, config.json, summary.json, tables/NAME.csv and figures/NAME-STEP.png.

    metrics.jsonl has one object a line, `{"step": 20, "train/loss": 1.5}`, and is on the disk line
    by line, so that a killed run has lost none. nan and infinities are null, as JSON has neither.

    Args:
        run_dir: of the run; exists.
        resume_step: the step a resumed run goes on from. What a stopped run logged after it is
            dropped, so that the file becomes that of a run that never stopped. None starts anew.

    Raises:
        OSError: the folder cannot be written.
    """

    def __init__(self, run_dir: Path, resume_step: int | None = None) -> None:
        self._folder = run_dir
        path = run_dir / "metrics.jsonl"
        kept = [] if resume_step is None else _lines_up_to(path, resume_step)
        write_whole(path, "".join(kept))
        self._lines = path.open("a", encoding="utf-8", buffering=1)
        self._summary: dict[str, object] = {}

    def config(self, values: Mapping[str, object]) -> None:
        """config.json, flattened."""
        write_whole(self._folder / "config.json", _json(flatten(values), indent=2) + "\n")

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """One line of metrics.jsonl."""
        self._lines.write(_json({"step": step, **values}) + "\n")

    def figure(self, name: str, picture: Path | Figure, step: int) -> None:
        """figures/NAME-STEP.png; a picture that is a file already stays where it is."""
        if not isinstance(picture, Path):
            path = self._place("figures", f"{name}-{step}.png")
            picture.savefig(path, bbox_inches="tight")

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        """tables/NAME.csv."""
        with self._place("tables", f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(rows)

    def artifact(self, name: str, path: Path) -> None:
        """Nothing: the file is in the run's folder, where this tracker keeps all."""

    def summary(self, values: Mapping[str, object]) -> None:
        """summary.json, flattened, as all calls so far make it."""
        self._summary |= flatten(values)
        write_whole(self._folder / "summary.json", _json(self._summary, indent=2) + "\n")

    def close(self, status: int) -> None:
        """Close metrics.jsonl."""
        self._lines.close()

    def _place(self, kind: str, name: str) -> Path:
        path = self._folder / kind / name.replace("/", "-")
        path.parent.mkdir(exist_ok=True)
        return path


def _lines_up_to(path: Path, step: int) -> list[str]:
    """The whole lines of steps up to `step`; a line that the end of the process cut off is none."""
    if not path.is_file():
        return []
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        try:
            logged = json.loads(line)["step"]
        except (ValueError, KeyError, TypeError):
            continue
        if line.endswith("\n") and logged <= step:
            kept.append(line)
    return kept


def _json(values: Mapping[str, object], indent: int | None = None) -> str:
    finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}
    return json.dumps(finite, indent=indent, ensure_ascii=False)
