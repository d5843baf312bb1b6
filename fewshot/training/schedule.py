"""Learning-rate schedules: torch's schedulers, counted in steps or epochs, with a linear warm-up."""

from __future__ import annotations

from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler


class Schedule:
    """A torch scheduler driven by the number of finished steps.

    Args:
        optimizer: whose groups' rates are set.
        scheduler: built on that optimizer; None keeps the rate.
        interval: "step" or "epoch": what the scheduler counts.
        warmup: steps over which the rate rises linearly from 1/warmup of its value; the scheduler
            counts from the start, the warm-up multiplies what it gives.
        steps_per_epoch: of the feed.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        scheduler: LRScheduler | None,
        interval: str,
        warmup: int,
        steps_per_epoch: int,
    ) -> None:
        self.optimizer = optimizer
        self.scheduler = scheduler or LambdaLR(optimizer, lambda _: 1.0)
        self.every = 1 if interval == "step" else steps_per_epoch
        self.warmup = warmup
        self._apply(0)

    def finished(self, steps: int) -> None:
        """Set the rates for the step that comes after `steps` finished ones."""
        if steps % self.every == 0:
            # A chainable scheduler computes the next rate from the one in the group: without the warm-up.
            self._set(self.scheduler.get_last_lr())
            self.scheduler.step()
        self._apply(steps)

    def _apply(self, steps: int) -> None:
        factor = min(1.0, (steps + 1) / self.warmup) if self.warmup else 1.0
        self._set([float(rate) * factor for rate in self.scheduler.get_last_lr()])

    def _set(self, rates: list[Any]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = float(rate)

    def state_dict(self) -> dict[str, Any]:
        return self.scheduler.state_dict()

    def load_state_dict(self, state: dict[str, Any], steps: int) -> None:
        """Go on after `steps` finished steps."""
        self.scheduler.load_state_dict(state)
        self._apply(steps)
