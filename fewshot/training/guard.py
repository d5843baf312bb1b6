"""A guard against steps that would spoil the model: it skips them, counts them, and gives up in time."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from fewshot.errors import InputError


class StepGuard:
    """Lets a step happen only if the norm of its gradient is finite.

    Counters stay on the device, so nothing waits for it; the log carries them back every few steps, and
    `check` waits for them before each save. What a skipped step's forward wrote into buffers, of any
    type, is put back: BatchNorm's running statistics, a memory's embeddings together with their labels
    and its pointer. Buffers must be written in place.

    Args:
        module: whose parameters are stepped and whose buffers are watched; a parameter may begin to require
            its gradient later, if it did when this was made.
        abort_after: that many skipped steps in a row end the run.
    """

    def __init__(self, module: nn.Module, abort_after: int, device: torch.device) -> None:
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        self.buffers = list(module.buffers())
        self.abort_after = abort_after
        self.skipped = torch.zeros((), dtype=torch.int64, device=device)
        self.in_a_row = torch.zeros((), dtype=torch.int64, device=device)
        self.worst_row = torch.zeros((), dtype=torch.int64, device=device)
        # Kept and filled anew each step: a large memory is not allocated again and again.
        self._before = [b.clone() for b in self.buffers]
        self._begun: set[nn.Parameter] = set()

    def remember(self) -> None:
        """Call before the forward."""
        for before, buffer in zip(self._before, self.buffers, strict=True):
            before.copy_(buffer)

    def step(self, optimizer: Optimizer, loss: Tensor, clip_norm: float | None) -> Tensor:
        """Clip, then step unless loss or gradient is not finite.

        This waits for the device at the first step of any parameter, and at each step of an optimizer that is
        not fused.

        Returns:
            the norm of the gradient before clipping, 0-d, on the device.
        """
        stepped = [p for p in self.parameters if p.grad is not None]
        norm = nn.utils.get_total_norm([p.grad for p in stepped if p.grad is not None])
        if clip_norm is not None:
            nn.utils.clip_grads_with_norm_(self.parameters, clip_norm, norm)
        finite = torch.isfinite(norm) & torch.isfinite(loss.detach())
        if not all(group.get("fused") for group in optimizer.param_groups):
            if finite:
                optimizer.step()
        else:
            # Fused optimizers leave parameters and moments alone where found_inf is 1: no waiting.
            optimizer.grad_scale = None  # type: ignore[attr-defined]
            optimizer.found_inf = (~finite).float()  # type: ignore[attr-defined]
            if self._begun.issuperset(stepped):
                optimizer.step()
            elif finite:
                # found_inf never skips a first step: fused SGD would keep a momentum that nothing set.
                _first_step(optimizer, stepped)
                self._begun.update(stepped)
        self._put_back(finite)
        self.skipped += ~finite
        self.in_a_row = torch.where(finite, torch.zeros_like(self.in_a_row), self.in_a_row + 1)
        self.worst_row = torch.maximum(self.worst_row, self.in_a_row)
        return norm

    def _put_back(self, finite: Tensor) -> None:
        """The buffers as they were before the forward, unless `finite`, a 0-d bool."""
        if finite.device.type == "cpu":
            # Looking at it is no waiting here, and spares two passes over a memory.
            if not finite:
                for buffer, before in zip(self.buffers, self._before, strict=True):
                    buffer.copy_(before)
            return
        for buffer, before in zip(self.buffers, self._before, strict=True):
            torch.where(finite, buffer, before, out=buffer)

    def check(self, step: int) -> int:
        """The number of skipped steps so far; waits for the device.

        Raises:
            InputError: `abort_after` steps in a row were not finite.
        """
        self.judge(int(self.worst_row), step)
        return int(self.skipped)

    def judge(self, in_a_row: int, step: int) -> None:
        """Whether to go on after so many skipped steps in a row, `worst_row` as a number.

        Raises:
            InputError: they are `abort_after` or more.
        """
        if in_a_row >= self.abort_after:
            raise InputError(
                f"loss or gradient was not finite in {in_a_row} steps in a row "
                f"(before step {step}): "
                "lower optimizer.lr, set training.clip_norm=1, or precision=float32; what was "
                "saved before is kept"
            )

    def state_dict(self) -> dict[str, int]:
        return {"skipped": int(self.skipped), "in_a_row": int(self.in_a_row)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.skipped.fill_(state["skipped"])
        self.in_a_row.fill_(state["in_a_row"])


def _first_step(optimizer: Optimizer, parameters: list[nn.Parameter]) -> None:
    """A step in which some parameters may be the optimizer's first ones and others not.

    They are stepped apart: fused SGD sets the momenta of a group at its first step, all or none of them.
    """
    gradients = [p.grad for p in parameters]
    known = [bool(optimizer.state.get(p)) for p in parameters]
    for part in sorted(set(known)):
        for parameter, gradient, is_known in zip(parameters, gradients, known, strict=True):
            parameter.grad = gradient if is_known == part else None
        optimizer.step()
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
