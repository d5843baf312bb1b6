"""The most memory that this process held, as Linux counts it: torch's and that of any other library."""

from __future__ import annotations

from pathlib import Path


class PeakMemory:
    """Counts from its making, or from the last `restart`."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")
        self.before = _resident("VmRSS")

    def mebibytes(self) -> float:
        """Of the process as a whole."""
        return _resident("VmHWM")

    def beyond(self) -> float:
        """MiB at the peak beyond what was held at the start."""
        return self.mebibytes() - self.before


def _resident(field: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) / 1024
    raise RuntimeError(f"/proc/self/status has no {field}: memory is measured on Linux alone")
