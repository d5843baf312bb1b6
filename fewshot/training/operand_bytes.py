"""Bytes that the operations of torch read and write, counted as they run."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class OperandBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within it, each operation adds its tensor arguments and its results to `total`.

    That is what an operation moves if it reads each argument once and writes each result once: the least
    without fusion and without caches. Views move nothing; an expanded tensor counts as the memory behind it.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        results = function(*args, **(kwargs or {}))
        if not function.is_view:
            self.total += sum(_bytes(each) for each in tree_leaves((args, kwargs, results)))
        return results


def _bytes(value: Any) -> int:
    if not isinstance(value, Tensor):
        return 0
    return int(min(value.numel() * value.itemsize, value.untyped_storage().nbytes()))
