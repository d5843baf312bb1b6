"""What a machine can do at best: products of matrices and copies, in a run's precision and threads."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from fewshot.training.device import Machine

ROUNDS = 5
COPIED_BYTES = 256 * 2**20
"""Beyond the caches."""


def matrix_side(machine: Machine) -> int:
    """Of the square matrices that `matmul_rate` multiplies."""
    return 8192 if machine.device.type == "cuda" else 2048


def matmul_rate(machine: Machine) -> float:
    """FLOP/s of one large product of matrices, the best of some rounds; a multiply-add is two."""
    side = matrix_side(machine)
    dtype = torch.bfloat16 if machine.precision == "bf16" else torch.float32
    # Ones would be multiplied at less power, and so at a higher clock, than numbers.
    made = torch.Generator(machine.device).manual_seed(0)
    a, b = (torch.randn(side, side, generator=made, device=machine.device).to(dtype) for _ in range(2))
    product = torch.empty_like(a)
    return 2 * side**3 / _best(machine, lambda: torch.mm(a, b, out=product))


def copy_rate(machine: Machine) -> float:
    """Bytes a second, read and written, of a copy beyond the caches, the best of some rounds."""
    source = torch.ones(COPIED_BYTES, dtype=torch.uint8, device=machine.device)
    target = torch.empty_like(source)
    return 2 * COPIED_BYTES / _best(machine, lambda: target.copy_(source))


def clock(machine: Machine) -> float:
    """Seconds of the wall clock once the device has done its work."""
    if machine.device.type == "cuda":
        torch.cuda.synchronize(machine.device)
    return time.perf_counter()


def _best(machine: Machine, work: Callable[[], object]) -> float:
    work()
    spent = []
    for _ in range(ROUNDS):
        began = clock(machine)
        work()
        spent.append(clock(machine) - began)
    return min(spent)
