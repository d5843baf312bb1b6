"""Joint training: every task is trained on together with all tasks before it, the upper bound."""

from __future__ import annotations

from typing import ClassVar

from fewshot.continual.methods.finetune import Finetune, SoftmaxOver
from fewshot.models.embedder import Embedder


class Joint(Finetune):
    """Cross-entropy over all classes so far, on batches of all tasks so far.

    The network goes on from task to task; all at once is `tasks=1`.

    Args:
        embedder, classes, softmax_over, seed: see `Finetune`; "current" would compare old images with classes
            that are not theirs.
    """

    cumulative: ClassVar[bool] = True

    def __init__(
        self, embedder: Embedder, classes: int, softmax_over: SoftmaxOver = "seen", seed: int = 0
    ) -> None:
        super().__init__(embedder, classes, softmax_over, seed)
        self.refuse_current()
