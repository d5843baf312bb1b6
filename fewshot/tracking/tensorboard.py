"""TensorBoard event files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fewshot.tracking.flatten import flatten

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fewshot.tracking.tracker import Cell


class TensorboardTracker:
    """Event files in RUN/tensorboard.

    Args:
        run_dir: of the run.
        resume_step: the step a resumed run goes on from; TensorBoard hides what was logged after it.

    Raises:
        ImportError: tensorboard is not installed.
        OSError: the folder cannot be written.
    """

    def __init__(self, run_dir: Path, resume_step: int | None = None) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        purge = None if resume_step is None else resume_step + 1
        self._writer = SummaryWriter(str(run_dir / "tensorboard"), purge_step=purge)

    def config(self, values: Mapping[str, object]) -> None:
        """A table on the text page."""
        self.table(
            "config", ["option", "value"], [(key, str(value)) for key, value in flatten(values).items()]
        )

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """One curve for each name."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def figure(self, name: str, picture: Path | Figure, step: int) -> None:
        """On the images page."""
        if not isinstance(picture, Path):
            self._writer.add_figure(name, picture, step, close=False)
            return
        import numpy as np
        from PIL import Image

        with Image.open(picture) as image:
            pixels = np.asarray(image.convert("RGB"))
        self._writer.add_image(name, pixels, step, dataformats="HWC")

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        """A Markdown table on the text page."""
        lines = [columns, ["---"] * len(columns), *rows]
        text = "\n".join(
            "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines
        )
        self._writer.add_text(name, text)

    def artifact(self, name: str, path: Path) -> None:
        """Nothing: event files hold no files."""

    def summary(self, values: Mapping[str, object]) -> None:
        """A table on the text page."""
        self.table(
            "summary", ["result", "value"], [(key, str(value)) for key, value in flatten(values).items()]
        )

    def close(self, status: int) -> None:
        """Write what is still in memory."""
        self._writer.close()
