"""What a profile found, as a table to read and as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fewshot.training.observation import (
    LOSS_BACKWARD,
    LOSS_FORWARD,
    NETWORK_BACKWARD,
    NETWORK_FORWARD,
)

NETWORK = (NETWORK_FORWARD, NETWORK_BACKWARD)
_SEVERAL_PARTS = {
    "data": "drawing indices, gathering uint8 images",
    NETWORK_FORWARD: "normalisation, backbone, pooling, head",
    LOSS_FORWARD: "all after the embedding, and what is logged of it",
    LOSS_BACKWARD: "down to the embedding's gradient",
    "optimizer": "norm of the gradient, clipping, step",
    "rest of the loop": "guard, seeds, means for the log",
}


@dataclass(frozen=True)
class Profile:
    """Attributes:
    title: what was trained.
    machine: as results describe it.
    steps, warm_up: measured, and left out before.
    seconds: of each phase, median over the steps: what is done once in many steps (drawing ahead, looking for
        hard classes, a line of the log) is not in it.
    step_seconds: of a whole step. On a CPU the median of the same steps, on CUDA the mean of steps in which
        nothing waited for the ends of phases.
    images, episodes: of a step; no episodes in plain batches.
    flops: of each phase, convolutions and products of matrices; a multiply-add is two.
    moved: bytes of each phase, arguments and results of its operations.
    matmul_rate: FLOP/s of a large product of matrices here.
    copy_rate: bytes/s, read and written, of a large copy here.
    peak_memory: bytes on the CUDA device; None on a CPU.
    """

    title: str
    machine: Mapping[str, str | int]
    steps: int
    warm_up: int
    seconds: Mapping[str, float]
    step_seconds: float
    images: int
    episodes: int
    flops: Mapping[str, float]
    moved: Mapping[str, float]
    matmul_rate: float
    copy_rate: float
    peak_memory: int | None

    def share(self, phase: str) -> float:
        """Of a phase in the sum of all."""
        return self.seconds[phase] / sum(self.seconds.values())

    @property
    def outside(self) -> float:
        """Share of the time outside the network's forward and backward."""
        return 1 - sum(self.share(phase) for phase in NETWORK)

    def numbers(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {**asdict(self), "outside": self.outside}

    def table(self) -> str:
        """All of it, for a reader."""
        machine = self.machine
        lines = [
            self.title,
            f"{machine['device']}, threads={machine['threads']}, {machine['precision']}, "
            f"torch {machine['torch']}; median of {self.steps} steps after {self.warm_up}",
            "",
            f"{'phase':<20}{'ms':>9}{'share':>8}",
        ]
        for phase, seconds in self.seconds.items():
            about = _SEVERAL_PARTS.get(phase, "")
            lines.append(f"{phase:<20}{1e3 * seconds:9.2f}{self.share(phase):8.1%}   {about}".rstrip())
        lines += [f"{'step':<20}{1e3 * self.step_seconds:9.2f}", ""]
        rates = [f"{self.images / self.step_seconds:,.0f} images/s"]
        if self.episodes:
            rates.append(f"{self.episodes / self.step_seconds:,.2f} episodes/s")
        lines += [
            ", ".join(rates),
            f"outside the network's forward and backward: {self.outside:.1%}",
            "",
            *self._ceilings(),
        ]
        if self.peak_memory is not None:
            lines.append(f"{'peak memory':<20}{self.peak_memory / 2**20:,.0f} MiB")
        return "\n".join(lines)

    def _ceilings(self) -> list[str]:
        seconds, flops, moved = (
            sum(of[phase] for phase in NETWORK) for of in (self.seconds, self.flops, self.moved)
        )
        return [
            f"{'matmul here':<20}{self.matmul_rate / 1e9:,.0f} GFLOP/s",
            f"{'copy here':<20}{self.copy_rate / 1e9:,.1f} GB/s, read and written",
            f"{'the network':<20}{flops / 1e9:,.3g} GFLOP a step in {1e3 * seconds:,.1f} ms: "
            f"{flops / seconds / 1e9:,.3g} GFLOP/s, {flops / seconds / self.matmul_rate:.0%} of matmul",
            f"{'':<20}{moved / 1e9:,.3g} GB pass through its operations: "
            f"{moved / seconds / 1e9:,.3g} GB/s, {moved / seconds / self.copy_rate:.0%} of copy "
            "(above 100% where caches serve)",
        ]
