"""A guard against steps that would spoil the model: it skips them, counts them, and gives up in time."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from fewshot.errors import InputError


class StepGuard:
    """Lets a step happen only if the norm of its gradient is finite.

    Counters stay on the device, so nothing waits for it; `check` reads them back and the loop calls
    it every few steps. Buffers (BatchNorm's running statistics) that a non-finite forward touched
    are put back as they were.

    Args:
        module: whose parameters are stepped and whose buffers are watched.
        abort_after: that many skipped steps in a row end the run.
    """

    def __init__(self, module: nn.Module, abort_after: int, device: torch.device) -> None:
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        self.buffers = [b for b in module.buffers() if b.is_floating_point()]
        self.abort_after = abort_after
        self.skipped = torch.zeros((), dtype=torch.int64, device=device)
        self.in_a_row = torch.zeros((), dtype=torch.int64, device=device)
        self.worst_row = torch.zeros((), dtype=torch.int64, device=device)
        self._before: list[Tensor] = []
        self._begun = False

    def remember(self) -> None:
        """Call before the forward."""
        self._before = [b.clone() for b in self.buffers]

    def step(self, optimizer: Optimizer, loss: Tensor, clip_norm: float | None) -> Tensor:
        """Clip, then step unless loss or gradient is not finite.

        This waits for the device at the first step, and at each step of an optimizer that is not fused.

        Returns:
            the norm of the gradient before clipping, 0-d, on the device.
        """
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        if clip_norm is not None:
            nn.utils.clip_grads_with_norm_(self.parameters, clip_norm, norm)
        finite = torch.isfinite(norm) & torch.isfinite(loss.detach())
        if self._begun and all(group.get("fused") for group in optimizer.param_groups):
            # Fused optimizers leave parameters and moments alone where found_inf is 1: no waiting.
            optimizer.grad_scale = None  # type: ignore[attr-defined]
            optimizer.found_inf = (~finite).float()  # type: ignore[attr-defined]
            optimizer.step()
        elif finite:
            # The first step is never skipped by found_inf: fused SGD would keep a momentum that nothing set.
            optimizer.step()
            self._begun = True
        for buffer, before in zip(self.buffers, self._before, strict=True):
            buffer.copy_(torch.where(finite, buffer, before))
        self.skipped += ~finite
        self.in_a_row = torch.where(finite, torch.zeros_like(self.in_a_row), self.in_a_row + 1)
        self.worst_row = torch.maximum(self.worst_row, self.in_a_row)
        return norm

    def check(self, step: int) -> int:
        """The number of skipped steps so far; waits for the device.

        Raises:
            InputError: `abort_after` steps in a row were not finite.
        """
        if int(self.worst_row) >= self.abort_after:
            raise InputError(
                f"loss or gradient was not finite in {int(self.worst_row)} steps in a row "
                f"(before step {step}): "
                "lower optimizer.lr, set training.clip_norm=1, or precision=float32; what was "
                "saved before is kept"
            )
        return int(self.skipped)

    def state_dict(self) -> dict[str, int]:
        return {"skipped": int(self.skipped), "in_a_row": int(self.in_a_row)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.skipped.fill_(state["skipped"])
        self.in_a_row.fill_(state["in_a_row"])
