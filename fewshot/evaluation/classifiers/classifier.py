"""What every classifier on embeddings offers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor


class Fitted(Protocol):
    """A classifier that has seen the supports of a block of episodes."""

    def predict(self, query: Tensor) -> Tensor:
        """Scores float [episodes, m, ways] of queries float [episodes, m, dim]; the highest wins.

        Scores are defined up to a constant for each query, which neither argmax nor softmax sees.
        """
        ...


class Classifier(Protocol):
    """Options of a method that learns from the support of an episode, and of a transductive one its queries.

    `block_bytes` is how many bytes of gathered embeddings it likes to be given at once on a CPU:
    few where memory traffic is the cost, many where the steps of a solver are.
    """

    block_bytes: ClassVar[int]

    @property
    def transductive(self) -> bool:
        """Whether the score of a query depends on the other queries of its episode."""
        ...

    def fit(self, support: Tensor) -> Fitted:
        """Learn from supports float [episodes, ways, shots, dim], a whole block of episodes at once."""
        ...

    def fit_labelled(self, support: Tensor, labels: Tensor, ways: int) -> Fitted:
        """Learn from classes of any sizes: what `fit` learns where they are equal.

        Args:
            support: float [episodes, n, dim].
            labels: int64 [episodes, n], from 0 to ways - 1, each at least once an episode.
            ways: number of classes.
        """
        ...


def balanced_labels(support: Tensor) -> Tensor:
    """The labels int64 [episodes, ways * shots] of supports [episodes, ways, shots, dim], flattened."""
    episodes, ways, shots, _ = support.shape
    labels = torch.arange(ways, device=support.device).repeat_interleave(shots)
    return labels.expand(episodes, -1)


class OnTable(Protocol):
    """A classifier over one table of embeddings, which is asked by the numbers of its rows."""

    def curve(self, support: Tensor, query: Tensor, shots: Sequence[int]) -> Iterator[Tensor]:
        """Scores float [episodes, m, ways] with the first s supports of each way, for each s of `shots`.

        Args:
            support: int64 [episodes, ways, most], rows of the table.
            query: int64 [episodes, m], rows of the table.
        """
        ...


@runtime_checkable
class TableClassifier(Classifier, Protocol):
    """A classifier that does better with a whole table than with what is gathered for each episode."""

    def on(self, features: Tensor) -> OnTable:
        """The classifier over a table float32 [n, dim]."""
        ...


@dataclass(eq=False)
class RowGather:
    """Copies rows of a table into the same memory again and again: fresh pages would cost more than the copy.

    Attributes:
        table: [n, dim].
    """

    table: Tensor
    _memory: Tensor | None = field(default=None, repr=False)

    def __call__(self, rows: Tensor) -> Tensor:
        """`table[rows]` [*rows.shape, dim], which the next call writes over."""
        flat = rows.reshape(-1)
        if self._memory is None or len(self._memory) < len(flat):
            self._memory = self.table.new_empty(len(flat), self.table.shape[1])
        return torch.index_select(self.table, 0, flat, out=self._memory[: len(flat)]).view(*rows.shape, -1)


class Gathered:
    """Any classifier over a table: the embeddings of each block are gathered for it."""

    def __init__(self, classifier: Classifier, features: Tensor) -> None:
        self.classifier = classifier
        self.supports, self.queries = RowGather(features), RowGather(features)

    def curve(self, support: Tensor, query: Tensor, shots: Sequence[int]) -> Iterator[Tensor]:
        """See `OnTable`."""
        supports, queries = self.supports(support), self.queries(query)
        for count in shots:
            yield self.classifier.fit(supports[:, :, :count]).predict(queries)


def on_table(classifier: Classifier, features: Tensor) -> OnTable:
    """A classifier over a table float32 [n, dim], in its own way if it has one."""
    return (
        classifier.on(features) if isinstance(classifier, TableClassifier) else Gathered(classifier, features)
    )
