"""The part of a batch that one of several processes has, and the others' embeddings with a gradient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor

from fewshot.not_compiled import not_compiled


@dataclass(frozen=True)
class Share:
    """What one process has of a batch that several share.

    Attributes:
        rank: of the process.
        sizes: images of each process; the shares follow one another in the batch.
    """

    rank: int
    sizes: tuple[int, ...]

    @property
    def part(self) -> slice:
        """The images of this process in the batch."""
        start = sum(self.sizes[: self.rank])
        return slice(start, start + self.sizes[self.rank])

    @property
    def weight(self) -> float:
        """Of a mean over this process's share, so that the mean over processes is the mean over the batch."""
        return self.sizes[self.rank] * len(self.sizes) / sum(self.sizes)

    def weighted(self, loss: Tensor, logs: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Means over this process's share, times `weight`."""
        return loss * self.weight, {name: value * self.weight for name, value in logs.items()}

    @not_compiled
    def gather(self, values: Tensor) -> Tensor:
        """Rows [own, dim] of every process's share: [batch, dim], in the order of the batch.

        It has a gradient, provided that every process computes the same scalar of what it gathered: then that
        of its own rows is at hand, and nothing is sent. It is multiplied by the number of processes, since
        DistributedDataParallel takes the mean over them, while the gradient of the batch is their sum.
        """
        return cast(Tensor, _Gather.apply(values, self))


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, share: Share) -> Tensor:
        ctx.share = share
        return torch.cat(gathered_rows(values, share.sizes))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        share: Share = ctx.share
        return gradient[share.part] * len(share.sizes), None


def gathered_rows(own: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    """The rows [sizes[rank], ...] of every process, from each one's own, to the bit and of any type."""
    most = max(sizes)
    padded = own.new_zeros(most, *own.shape[1:])
    padded[: len(own)] = own.detach()
    received = [torch.empty_like(padded) for _ in sizes]
    # As bytes: gloo does not know every type.
    dist.all_gather([rows.view(torch.uint8) for rows in received], padded.view(torch.uint8))
    return [rows[:size] for rows, size in zip(received, sizes, strict=True)]
