"""Several processes that train or evaluate as one: however many share a step, its batch is the same.

    torchrun --standalone --nproc-per-node=2 train.py ...

Torch's process group is underneath: gloo for what is on a CPU, nccl between GPUs. A run of one process has no
group, and every call here returns at once.
"""

from __future__ import annotations

import atexit
import datetime
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from fewshot.errors import InputError
from fewshot.processes import launched
from fewshot.share import Share, gathered_rows

T = TypeVar("T")

PATIENCE = datetime.timedelta(hours=3)
"""How long processes wait for one another: the first may measure a large validation by itself."""


@dataclass(frozen=True)
class Processes:
    """The processes of a run, seen by one of them.

    Attributes:
        rank: of this one, from 0.
        count: of all.
    """

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def require_one(self, what: str) -> None:
        """Refuse several processes.

        Raises:
            InputError: there are some.
        """
        if self.count > 1:
            raise InputError(f"{what} runs in one process, not in {self.count}: start it without torchrun")

    def share(self, units: int, each: int = 1) -> Share | None:
        """This process's share of a batch of `units` episodes or images; None if it is the only process.

        Args:
            units: that stay whole; shares differ by one at most.
            each: images of a unit.
        """
        if self.count == 1:
            return None
        bounds = [units * rank // self.count for rank in range(self.count + 1)]
        return Share(self.rank, tuple(each * (end - start) for start, end in pairwise(bounds)))

    def trained_together(self, module: nn.Module) -> nn.Module:
        """The module so that each backward leaves the mean of all processes' gradients.

        Buffers stay each process's own, see `same_buffers`.
        """
        if self.count == 1:
            return module
        with warnings.catch_warnings():
            # The option's successor is not in every torch that we run on.
            warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
            # HeadOnly rests the backbone for some steps, and a mixture may leave parameters out of a step.
            return DistributedDataParallel(module, broadcast_buffers=False, find_unused_parameters=True)

    def same_buffers(self, module: nn.Module) -> None:
        """Give every process the first one's buffers: each has the running statistics of its own share."""
        if self.count > 1:
            for buffer in module.buffers():
                dist.broadcast(buffer, 0)

    def means(self, figures: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Means of 0-d float tensors over processes, on the device."""
        if self.count == 1:
            return dict(figures)
        values = torch.stack(list(figures.values()))
        dist.all_reduce(values)
        return dict(zip(figures, values / self.count, strict=True))

    def highest(self, number: int) -> int:
        """The highest of all processes' numbers."""
        if self.count == 1:
            return number
        value = torch.tensor(number)
        dist.all_reduce(value, dist.ReduceOp.MAX)
        return int(value)

    def told_by_first(self, make: Callable[[], T]) -> T:
        """What `make` returns on the first process, told to all; the others do not call it."""
        if self.count == 1:
            return make()
        told = [make() if self.first else None]
        dist.broadcast_object_list(told, 0)
        return cast(T, told[0])

    def wait(self) -> None:
        """Until all processes are here."""
        if self.count > 1:
            self.highest(0)

    def turns(self, blocks: Sequence[T]) -> Sequence[T]:
        """Those of a list of blocks of work that are this process's: every `count`-th."""
        return blocks[self.rank :: self.count]

    def collected(self, own: Tensor, blocks: Sequence[slice]) -> Tensor:
        """Rows that the processes made by turns, in the order of the blocks.

        Args:
            own: [rows of this process, ...], of the blocks that `turns` gave it; rows beyond these are left
                out, so that a process without a block can tell the shape by one that is another's.
            blocks: all blocks; they follow one another from row 0.
        """
        if self.count == 1:
            return own
        sizes = [
            sum(block.stop - block.start for block in blocks[rank :: self.count])
            for rank in range(self.count)
        ]
        remaining = gathered_rows(own[: sizes[self.rank]], sizes)
        made = own.new_empty(blocks[-1].stop, *own.shape[1:])
        for number, block in enumerate(blocks):
            rank, size = number % self.count, block.stop - block.start
            made[block], remaining[rank] = remaining[rank][:size], remaining[rank][size:]
        return made


ALONE = Processes()


def join() -> Processes:
    """Meet the other processes that this one was started with, once; its group lasts to the process's end.

    Raises:
        InputError: they cannot be met.
    """
    place = launched()
    if place.count == 1:
        return ALONE
    if not dist.is_initialized():
        # What lies on a CPU goes by gloo, also beside GPUs.
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        os.environ |= {"MASTER_ADDR": place.address, "MASTER_PORT": str(place.port)}
        try:
            dist.init_process_group(backend, rank=place.rank, world_size=place.count, timeout=PATIENCE)
        except (RuntimeError, ValueError) as problem:
            reason = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
            raise InputError(
                f"process {place.rank} of {place.count} cannot meet the others at {place.address}:"
                f"{place.port}: {reason}; set MASTER_ADDR to the first node and MASTER_PORT to a free port"
            ) from problem
        atexit.register(dist.destroy_process_group)
    return Processes(place.rank, place.count)


def first_to_fail() -> bool:
    """Whether this process is the first of all to say that something is wrong; the others' errors follow."""
    place = launched()
    if place.count == 1 or not dist.is_initialized():
        # Before they have met, all see the same arguments and make the same mistake.
        return place.rank == 0
    try:
        return dist.distributed_c10d._get_default_store().add("failed", 1) == 1
    except RuntimeError:  # the first process kept the store, and is gone
        return False
