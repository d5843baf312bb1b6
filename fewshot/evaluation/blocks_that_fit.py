"""Work on blocks that are halved where they do not fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import torch

from fewshot.errors import InputError

T = TypeVar("T")


def blocks_that_fit(
    blocks: Iterable[slice], work: Callable[[slice], T], what: str
) -> Iterator[tuple[slice, T]]:
    """Each block and what `work` made of it, in order; a block too large for the memory comes as several.

    Once one was too large, no later one is tried with more than half its length.

    Args:
        blocks: slices with a start and a stop.
        work: raises torch.OutOfMemoryError, or the allocator's RuntimeError on a CPU, where memory ends.
        what: one element of a block, for the error message.

    Raises:
        InputError: not even one element fits.
    """
    most: int | None = None
    for block in blocks:
        start = block.start
        while start < block.stop:
            part = slice(start, block.stop if most is None else min(start + most, block.stop))
            try:
                made = work(part)
            except (RuntimeError, MemoryError) as error:
                if not _out_of_memory(error):
                    raise
                if part.stop - part.start == 1:
                    raise InputError(
                        f"{what} does not fit into memory; take fewer of its images, or another device"
                    ) from error
                most = (part.stop - part.start) // 2
            else:
                yield part, made
                start = part.stop


def _out_of_memory(error: Exception) -> bool:
    # torch.OutOfMemoryError is the accelerators'; the CPU's allocator has no type of its own.
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)
