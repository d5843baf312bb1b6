"""What every classifier on embeddings offers."""

from __future__ import annotations

from typing import ClassVar, Protocol

from torch import Tensor


class Fitted(Protocol):
    """A classifier that has seen the supports of a block of episodes."""

    def predict(self, query: Tensor) -> Tensor:
        """Scores float [episodes, m, ways] of queries float [episodes, m, dim]; the highest wins.

        Scores are defined up to a constant for each query, which neither argmax nor softmax sees.
        """
        ...


class Classifier(Protocol):
    """Options of a method that learns from the support of an episode alone.

    `block_bytes` is how many bytes of gathered embeddings it likes to be given at once on a CPU:
    few where memory traffic is the cost, many where the steps of a solver are.
    """

    block_bytes: ClassVar[int]

    def fit(self, support: Tensor) -> Fitted:
        """Learn from supports float [episodes, ways, shots, dim], a whole block of episodes at once."""
        ...
