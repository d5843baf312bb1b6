"""Lines of the log, whose figures come back from the device while the next steps run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from fewshot.training.guard import StepGuard
from fewshot.training.window import Window


class Scalars(Protocol):
    """Where figures go."""

    def scalars(self, values: Mapping[str, float], step: int) -> None: ...


class ReadBack:
    """Numbers on their way from the device to the host.

    Args:
        values: 0-d tensors on one device; they may change afterwards.
    """

    def __init__(self, values: Mapping[str, Tensor]) -> None:
        self.names = list(values)
        # float64 holds every float32 and every count exactly.
        stacked = torch.stack([value.detach().double() for value in values.values()])
        self.arrived: torch.cuda.Event | None = None
        if stacked.device.type == "cuda":
            # Only into pinned memory does a copy run beside what the host does next.
            self.host = torch.empty(stacked.shape, dtype=stacked.dtype, pin_memory=True)
            self.host.copy_(stacked, non_blocking=True)
            self.arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self.arrived.record()
        else:
            self.host = stacked

    def numbers(self) -> dict[str, float]:
        """Waits for those that have not arrived yet."""
        if self.arrived is not None:
            self.arrived.synchronize()
        return dict(zip(self.names, self.host.tolist(), strict=True))


@dataclass(frozen=True)
class _Line:
    step: int
    count: int
    sums: ReadBack
    known: dict[str, float]


class Log:
    """Writes each line when the next one is made, so that no step waits for the device.

    Args:
        late: False writes each line at once: a CPU has nothing to wait for.
        guard: its longest row of skipped steps travels with each line and is judged before it is written.
    """

    def __init__(self, tracker: Scalars, guard: StepGuard, *, late: bool) -> None:
        self.tracker, self.guard, self.late = tracker, guard, late
        self.shown: dict[str, float] = {}
        self._pending: _Line | None = None

    def line(self, step: int, window: Window, known: Mapping[str, float]) -> None:
        """Close the window into a line for `step`, with figures that the host knows already.

        Raises:
            InputError: too many skipped steps in a row, as of the line that is written.
        """
        count, sums = window.close()
        made = _Line(step, count, ReadBack({**sums, _ROW: self.guard.worst_row}), dict(known))
        self.flush()
        self._pending = made
        if not self.late:
            self.flush()

    def flush(self) -> None:
        """Write the line that is not written yet; this waits for its figures."""
        line, self._pending = self._pending, None
        if line is None:
            return
        sums = line.sums.numbers()
        self.guard.judge(int(sums.pop(_ROW)), line.step)
        self.shown = {name: value / line.count for name, value in sums.items()}
        self.tracker.scalars({**{f"train/{k}": v for k, v in self.shown.items()}, **line.known}, line.step)


_ROW = "guard/worst_row"
