"""A frozen copy of a module: the teacher of a method that distils."""

from __future__ import annotations

import copy
import itertools

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


class Snapshot(nn.Module):
    """A copy of a module as it was when `take` was called last.

    It exists from the start, so that a state dict has the same keys before the first snapshot, has no
    gradient, is in no optimizer, and stays in evaluation mode whatever the modules around it do.

    Args:
        module: to be copied.
        batch_statistics: let BatchNorm normalise by the batch, as a copy in training mode does, yet without
            touching the running statistics.
    """

    def __init__(self, module: nn.Module, batch_statistics: bool = False) -> None:
        super().__init__()
        self.module = copy.deepcopy(module).requires_grad_(False)
        self.batch_statistics = batch_statistics
        if batch_statistics:
            for layer in self._batchnorms():
                layer.track_running_stats = False
        self.train()

    @torch.no_grad()
    def take(self, source: nn.Module) -> None:
        """Copy the parameters and buffers of `source`, a module of the same shape."""
        mine = itertools.chain(self.module.parameters(), self.module.buffers())
        for own, other in zip(mine, itertools.chain(source.parameters(), source.buffers()), strict=True):
            own.copy_(other)

    def train(self, mode: bool = True) -> Snapshot:
        super().train(False)
        if self.batch_statistics:
            for layer in self._batchnorms():
                layer.training = True
        return self

    def _batchnorms(self) -> list[_BatchNorm]:
        return [layer for layer in self.module.modules() if isinstance(layer, _BatchNorm)]
