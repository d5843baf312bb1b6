"""Sums over mixed examples, a block of leads at a time, recomputed in the backward pass."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.utils.checkpoint import checkpoint

from fewshot.losses.generic import Totals
from fewshot.not_compiled import not_compiled

BLOCK = 2**22
"""Numbers in one block: 16 MiB in float32."""


# torch.compile has no checkpoint of a function that closes over tensors.
@not_compiled
def in_blocks(part: Callable[[slice], Totals], leads: int, elements: int, block: int | None = None) -> Totals:
    """`part` of all leads, a block of them at a time, concatenated.

    A cubic number of anchor-positive-negative scalars is thus never held at once: where there are
    several blocks, each keeps its totals alone and is computed again in the backward pass.

    Args:
        part: the totals [len(rows), ...] of some leads.
        leads: how many there are.
        elements: numbers that one lead takes; where they are more than a block, a block is one lead.
        block: numbers in one block; None: `BLOCK`.
    """
    step = max(1, (block or BLOCK) // max(1, elements))
    if step >= leads:
        return part(slice(0, leads))
    rows = [slice(first, min(first + step, leads)) for first in range(0, leads, step)]
    parts = [checkpoint(part, each, use_reentrant=False, preserve_rng_state=False) for each in rows]
    return Totals(*(torch.cat(values) for values in zip(*parts, strict=True)))
