"""The nearest gallery embeddings of each query: exact, in blocks, with one answer on every device."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize, pad

from fewshot.errors import InputError

Similarity = Literal["cosine", "euclidean"]
"""cos(a, b), or -||a - b||^2: the larger, the more alike."""

MEMORY = 256 << 20
ABSENT = torch.iinfo(torch.int64).min
"""The key of a pair that does not exist; it is below every other key."""

_LAST = 0xFFFFFFFF


@dataclass(frozen=True, eq=False)
class Nearest:
    """The k nearest gallery rows of each query, nearest first.

    Attributes:
        indices: int64 [q, k], rows of the gallery; -1 where it has no further row for the query.
        similarities: float32 [q, k], see `Similarity`; -inf at an index of -1.
    """

    indices: Tensor
    similarities: Tensor


def nearest(
    query: Tensor,
    gallery: Tensor,
    k: int,
    *,
    query_ids: Tensor | None = None,
    gallery_ids: Tensor | None = None,
    similarity: Similarity = "cosine",
    memory: int = MEMORY,
) -> Nearest:
    """Exact search; of equally similar gallery rows the one with the lower index comes first.

    A gallery row with the id of the query is left out for that query, wherever it would rank: another
    image that looks the same stays in.

    Args:
        query: [q, dim].
        gallery: [g, dim], on the device of the query. Both are compared in float32.
        k: rows wanted for each query.
        query_ids, gallery_ids: int64 [q] and [g]; None leaves nothing out.
        similarity: see `Similarity`.
        memory: bytes to work in, beyond the result and one float32 copy of the gallery.

    Raises:
        InputError: k is below 1, or there is no query or no gallery.
        ValueError: shapes that do not belong together, or a value that is not finite.
    """
    if k < 1:
        raise InputError(f"k={k} nearest neighbours cannot be found; k must be at least 1")
    scan = Scan(query, gallery, query_ids, gallery_ids, similarity, kept=k, memory=memory)
    indices = torch.empty(len(query), k, dtype=torch.int64, device=query.device)
    similarities = torch.empty(len(query), k, device=query.device)
    with torch.inference_mode():
        for rows in scan.blocks:
            keys = scan.highest_keys(rows, k)
            indices[rows], similarities[rows] = index_of(keys), scan.similarities(rows, keys)
    return Nearest(indices, similarities)


class Scan:
    """All pairs of queries and gallery, a block at a time, as integer keys.

    A key holds the similarity in its upper 32 bits and the gallery index, reversed, in its lower ones. No
    two keys of a query are equal, so that a selection by key is the same on every device and in every order.
    All blocks have one shape, the last ones padded: a matrix product then treats all columns alike, and equal
    gallery rows get equal similarities wherever they stand.

    Attributes:
        blocks: the rows of the queries that belong together.
    """

    def __init__(
        self,
        query: Tensor,
        gallery: Tensor,
        query_ids: Tensor | None,
        gallery_ids: Tensor | None,
        similarity: Similarity,
        *,
        kept: int = 1,
        memory: int = MEMORY,
    ) -> None:
        """`kept` is the number of keys that the caller keeps of each query; the rest as in `nearest`."""
        _check(query, gallery, query_ids, gallery_ids)
        self._query, self._query_ids, self._gallery_ids = query, query_ids, gallery_ids
        self._length = len(gallery)
        self._cosine = similarity == "cosine"
        kept = min(kept, len(gallery))
        self._width = _even(len(gallery), max(4096, kept))
        pairs = memory // 64
        if query.device.type == "cpu":
            pairs = min(pairs, 1 << 20)  # what its cache holds
        self._height = _even(len(query), max(1, min(pairs // self._width, memory // (128 * kept))))
        self.blocks = _slices(len(query), self._height)
        if not self._cosine:
            # A common offset would cost digits; a power of two keeps the squares of huge values finite.
            self._scale = 2.0 ** -math.frexp(max(_largest(query), _largest(gallery)))[1]
            self._origin = gallery[:1].float() * self._scale
        self._gallery = self._ready(gallery, len(_slices(len(gallery), self._width)) * self._width)
        self._half_squares = self._gallery.square().sum(1) / 2

    def keys(self, rows: slice) -> Iterator[tuple[slice, Tensor]]:
        """The keys int64 [rows, columns] of one of `blocks` with each block of gallery columns."""
        query = self._ready(self._query[rows], self._height)
        for columns in _slices(self._length, self._width):
            padded = slice(columns.start, columns.start + self._width)
            with torch.autocast(query.device.type, enabled=False):
                if self._cosine:
                    scores = query @ self._gallery[padded].T
                else:  # <q, x> - |x|^2 / 2 ranks as -|q - x|^2 does
                    scores = torch.addmm(self._half_squares[padded], query, self._gallery[padded].T, beta=-1)
            keys = _keys(scores[: rows.stop - rows.start, : columns.stop - columns.start], columns)
            if self._query_ids is not None and self._gallery_ids is not None:
                keys.masked_fill_(self._query_ids[rows, None] == self._gallery_ids[None, columns], ABSENT)
            yield columns, keys

    def highest_keys(self, rows: slice, k: int) -> Tensor:
        """int64 [rows, k], the k highest keys of each query of one of `blocks`, descending."""
        best = torch.full((rows.stop - rows.start, k), ABSENT, device=self._query.device)
        for _, keys in self.keys(rows):
            top = keys.topk(min(k, keys.shape[1]), dim=1).values
            best = torch.cat([best, top], dim=1).topk(k, dim=1).values
        return best

    def similarities(self, rows: slice, keys: Tensor) -> Tensor:
        """float32 [rows, n], which the keys int64 [rows, n] of one of `blocks` hold."""
        bits = (keys >> 32).int()
        scores = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).view(torch.float32)
        if not self._cosine:
            squares = self._ready(self._query[rows], 0).square().sum(1, keepdim=True)
            scores = (2 * scores - squares).clamp(max=0) / self._scale / self._scale
        return scores.masked_fill(keys == ABSENT, -torch.inf)

    def _ready(self, points: Tensor, length: int) -> Tensor:
        """float32 [max(n, length), dim]: unit vectors, or moved and scaled ones, and then rows of zeros."""
        points = unit_rows(points) if self._cosine else points.float() * self._scale - self._origin
        return pad(points, (0, 0, 0, length - len(points))) if length > len(points) else points


def _keys(scores: Tensor, columns: slice) -> Tensor:
    """int64 [m, n] of float32 [m, n], which are overwritten."""
    bits = scores.add_(0.0).view(torch.int32)  # the sum makes -0.0 the 0.0 that it equals
    bits ^= (bits >> 31) & 0x7FFFFFFF  # as whole numbers these order as the floats do
    keys = bits.long()
    keys <<= 32
    keys += _LAST - torch.arange(columns.start, columns.stop, device=keys.device)
    return keys


def index_of(keys: Tensor) -> Tensor:
    """int64 [...], the gallery rows that keys [...] hold; -1 for an absent one."""
    return (_LAST - (keys & _LAST)).masked_fill_(keys == ABSENT, -1)


def unit_rows(points: Tensor) -> Tensor:
    """float32 [n, dim], rows divided by their length, whatever it is; a row of zeros stays."""
    points = points.float()
    # First by the largest component: squares of huge values overflow, those of tiny ones vanish.
    largest = points.abs().amax(dim=1, keepdim=True)
    return normalize(points / largest.masked_fill(largest == 0, 1), dim=1)


def _check(query: Tensor, gallery: Tensor, query_ids: Tensor | None, gallery_ids: Tensor | None) -> None:
    for name, side, ids in (("query", query, query_ids), ("gallery", gallery, gallery_ids)):
        if not len(side):
            raise InputError(
                f"there are no {name} embeddings to search with; the selection of images is empty"
            )
        if side.ndim != 2 or side.shape[1] != query.shape[1]:
            raise ValueError(
                f"expected query [q, dim] and gallery [g, dim], not {[*query.shape]}, {[*gallery.shape]}"
            )
        if not math.isfinite(_largest(side)):
            raise ValueError(f"a {name} embedding is not finite")
        if ids is not None and ids.shape != side.shape[:1]:
            raise ValueError(f"{name} ids {[*ids.shape]} do not number {len(side)} rows")
    if (query_ids is None) != (gallery_ids is None):
        raise ValueError("give the ids of both sides, or none")


def _largest(points: Tensor) -> float:
    """The largest absolute value; not finite where a value is not."""
    low, high = points.aminmax()
    return float(torch.maximum(-low, high))


def _even(total: int, most: int) -> int:
    """The length of equal blocks of about `most` at most, in full vectors of the processor."""
    return -(-total // -(-total // most) // 64) * 64


def _slices(total: int, length: int) -> list[slice]:
    return [slice(start, min(start + length, total)) for start in range(0, total, length)]
