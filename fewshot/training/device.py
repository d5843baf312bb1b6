"""The machine a run uses: device, precision, and the levers that make CPU training fast."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import sys
from dataclasses import dataclass
from typing import Literal

import torch

from fewshot.distributed import ALONE, Processes, join
from fewshot.errors import InputError
from fewshot.processes import launched

PRECISIONS = ("auto", "float32", "bf16")
Precision = Literal["float32", "bf16"]

# mallopt's parameter numbers, from glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def keep_memory() -> bool:
    """Tell glibc's allocator to keep freed memory instead of returning it to the system.

    Large activations are otherwise mapped and unmapped at every step, and page faults take half of
    the time of a Conv4 step. Call it before the first tensor is made. Returns whether it took
    effect; elsewhere than on glibc it does nothing.
    """
    if not sys.platform.startswith("linux") or platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    settings = {_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: -1, _M_TOP_PAD: 64 * 2**20}
    return all(libc.mallopt(name, value) == 1 for name, value in settings.items())


def native_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 natively, so that autocast pays."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


@dataclass(frozen=True)
class Machine:
    """What a run computes on.

    Attributes:
        device: where the model and the batches are.
        precision: "float32" or "bf16" (autocast; parameters and losses stay float32).
        threads: of torch within an operation.
        processes: that compute together, each on a machine like this.
    """

    device: torch.device
    precision: Precision
    threads: int
    processes: Processes = ALONE

    def autocast(self) -> torch.autocast:
        """A context in which the forward pass runs in the machine's precision."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def describe(self) -> dict[str, str | int]:
        """Hardware and versions, for results: a figure without them cannot be compared."""
        return {
            "device": torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else _processor(),
            "cores": os.cpu_count() or 1,
            "threads": self.threads,
            "processes": self.processes.count,
            "precision": self.precision,
            "torch": torch.__version__,
            "python": platform.python_version(),
        }

    def peak_memory(self) -> dict[str, int]:
        """The most bytes that the process has held resident so far, and its tensors on a CUDA device."""
        # Linux counts in KiB, macOS in bytes.
        unit = 1 if sys.platform == "darwin" else 1024
        peak = {"process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}
        if self.device.type == "cuda":
            peak["device"] = torch.cuda.max_memory_allocated(self.device)
        return peak


def set_up(device: str, precision: str, threads: int | None) -> Machine:
    """Choose device and precision, set torch's threads, and meet the other processes of the run.

    Args:
        device: "auto" (CUDA where there is one), or torch's name of a device; of several processes on one
            machine each takes a CUDA device of its own.
        precision: "auto" (bf16 where the device has it natively), "float32" or "bf16".
        threads: of torch within an operation; None leaves torch's own choice.

    Raises:
        InputError: no such device or precision, or the other processes cannot be met.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision={precision!r} must be one of {', '.join(PRECISIONS)}")
    processes = join()
    if device == "auto":
        chosen = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    else:
        try:
            chosen = torch.device(device)
        except RuntimeError as problem:
            raise InputError(
                f"device={device!r} is no device of torch; use auto, cpu, cuda or cuda:N"
            ) from problem
        if chosen.type == "cuda" and not (
            torch.cuda.is_available() and (chosen.index or 0) < torch.cuda.device_count()
        ):
            raise InputError(
                f"device={device}: this machine has {torch.cuda.device_count()} CUDA devices; use device=cpu"
            )
        if chosen.type not in ("cpu", "cuda"):
            raise InputError(f"device={device}: only cpu and cuda are supported")
    if processes.count > 1 and chosen.type == "cuda":
        if ":" in device:
            raise InputError(f"device={device} is one device for several processes: use device=cuda")
        chosen = torch.device("cuda", _own_device())
        torch.cuda.set_device(chosen)
    if threads is not None:
        if threads < 1:
            raise InputError(f"threads={threads} must be at least 1")
        torch.set_num_threads(threads)
    bf16 = precision == "bf16" or (precision == "auto" and native_bf16(chosen))
    return Machine(chosen, "bf16" if bf16 else "float32", torch.get_num_threads(), processes)


def _own_device() -> int:
    """The number of the CUDA device of this process, one of several.

    Raises:
        InputError: it would have to share one.
    """
    local_rank, devices = launched().local_rank, torch.cuda.device_count()
    if devices == 1 and "SLURM_LOCALID" in os.environ:
        local_rank = 0  # srun --gpus-per-task=1 shows each task its own device only
    if local_rank >= devices:
        raise InputError(
            f"process {local_rank + 1} of this machine finds {devices} CUDA devices: start as many processes "
            "as there are devices, or use device=cpu"
        )
    return local_rank


def _processor() -> str:
    """The processor's name as Linux tells it, else what Python knows."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
        return names[0] if names else platform.machine()
    except OSError:
        return platform.processor() or platform.machine()
