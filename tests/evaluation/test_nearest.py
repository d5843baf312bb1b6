from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from fewshot.errors import InputError
from fewshot.evaluation import nearest as room
from fewshot.evaluation.nearest import Similarity, nearest, unit_rows

KINDS: tuple[Similarity, ...] = ("cosine", "euclidean")


def points(n: int, dim: int = 7, seed: int = 0) -> Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


def grid(n: int, dim: int = 4, seed: int = 0) -> Tensor:
    """Vectors of -1 and 1 and length 2: their many ties are exact in float32."""
    signs = torch.randint(0, 2, (n, dim), generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return signs.float()


def naive(
    query: Tensor, gallery: Tensor, k: int, ids: tuple[list[int], list[int]] | None, kind: Similarity
) -> tuple[list[list[int]], list[list[float]]]:
    """Sorted lists in float64, one pair at a time."""
    found, values = [], []
    for i, q in enumerate(query.double().tolist()):
        scored = []
        for j, x in enumerate(gallery.double().tolist()):
            if ids is not None and ids[0][i] == ids[1][j]:
                continue
            if kind == "cosine":
                dot = sum(a * b for a, b in zip(q, x, strict=True))
                scored.append((-dot / math.hypot(*q) / math.hypot(*x), j))
            else:
                scored.append((sum((a - b) ** 2 for a, b in zip(q, x, strict=True)), j))
        scored = [(round(score, 9), j) for score, j in scored]
        best = sorted(scored)[:k]
        rest = k - len(best)
        found.append([j for _, j in best] + [-1] * rest)
        values.append([-score for score, _ in best] + [-math.inf] * rest)
    return found, values


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", [points, grid])
@pytest.mark.parametrize("k", [1, 5, 70])
@pytest.mark.parametrize("memory", [1, 20_000, 256 << 20])
def test_equals_a_sort_of_every_pair(
    kind: Similarity, make: Callable[..., Tensor], k: int, memory: int
) -> None:
    query, gallery = make(70), make(66, seed=1)
    indices, values = naive(query, gallery, k, None, kind)
    result = nearest(query, gallery, k, similarity=kind, memory=memory)
    assert result.indices.tolist() == indices
    torch.testing.assert_close(result.similarities, torch.tensor(values), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_id_is_left_out_by_index(kind: Similarity) -> None:
    gallery = grid(60)  # 60 points on 16 corners: every one has exact copies
    ids = torch.arange(60).roll(7)
    query, asked = gallery[10:40], ids[10:40]
    indices, _ = naive(query, gallery, 6, (asked.tolist(), ids.tolist()), kind)
    result = nearest(query, gallery, 6, query_ids=asked, gallery_ids=ids, similarity=kind)
    assert result.indices.tolist() == indices
    own = torch.arange(10, 40)[:, None]
    assert not (result.indices == own).any()
    copies = (gallery[result.indices[:, 0]] == query).all(dim=1)
    assert copies.all()  # a copy of the query is a neighbour like any other


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_change_nothing(kind: Similarity, monkeypatch: pytest.MonkeyPatch) -> None:
    query, gallery, ids = points(300), points(1000, seed=1), torch.arange(1000)
    whole = nearest(query, gallery, 9, query_ids=ids[:300], gallery_ids=ids, similarity=kind)
    real = room._even
    monkeypatch.setattr(room, "_even", lambda total, most: real(total, min(most, 128)))
    parts = nearest(query, gallery, 9, query_ids=ids[:300], gallery_ids=ids, similarity=kind)
    assert len(room.Scan(query, gallery, None, None, kind).blocks) == 3
    torch.testing.assert_close(parts.indices, whole.indices)
    torch.testing.assert_close(parts.similarities, whole.similarities)


@pytest.mark.parametrize(("kept", "height"), [(1, 192), (40, 192), (64, 128)])
def test_a_block_of_queries_is_as_large_as_the_memory(kept: int, height: int) -> None:
    query, gallery, memory = points(260), points(64, seed=1), 64 * 64 * 192
    scan = room.Scan(query, gallery, None, None, "cosine", kept=kept, memory=memory)
    starts = range(0, 260, height)
    assert scan.blocks == [slice(start, min(start + height, 260)) for start in starts]
    parts, whole = nearest(query, gallery, kept, memory=memory), nearest(query, gallery, kept)
    assert torch.equal(parts.indices, whole.indices)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dim", [3, 37, 512])
@pytest.mark.parametrize("queries", [1, 3, 33])
def test_copies_rank_by_index_wherever_they_stand(kind: Similarity, dim: int, queries: int) -> None:
    """What a sum rounds to depends on the place in a matrix product, where its shape is left to chance."""
    base = points(50, dim)
    gallery = base.repeat(91, 1)
    result = nearest(points(queries, dim, seed=2), gallery, 91, similarity=kind)
    assert (result.similarities == result.similarities[:, :1]).all()
    assert (result.indices.diff(dim=1) == 50).all()
    assert (result.indices[:, 0] < 50).all()


@pytest.mark.parametrize("kind", KINDS)
def test_all_equal_embeddings_rank_by_index(kind: Similarity) -> None:
    same = points(1, 33).expand(130, 33)
    ids = torch.arange(130)
    result = nearest(same, same, 4, query_ids=ids, gallery_ids=ids, similarity=kind)
    for i, row in enumerate(result.indices.tolist()):
        assert row == [j for j in range(6) if j != i][:4]


def test_the_order_of_queries_and_of_a_gallery_without_ties_is_free() -> None:
    query, gallery = points(90), points(200, seed=1)
    before = nearest(query, gallery, 5).indices
    order, mixed = torch.randperm(90), torch.randperm(200)
    after = nearest(query[order], gallery[mixed], 5).indices
    assert torch.equal(mixed[after], before[order])


@pytest.mark.parametrize("kind", KINDS)
def test_more_neighbours_than_rows_leave_places_empty(kind: Similarity) -> None:
    three, ids = points(3), torch.arange(3)
    result = nearest(three, three, 5, query_ids=ids, gallery_ids=ids, similarity=kind)
    assert (result.indices[:, 2:] == -1).all() and (result.similarities[:, 2:] == -torch.inf).all()
    assert (result.indices[:, :2] >= 0).all() and result.similarities[:, :2].isfinite().all()


def test_opposite_signs_of_zero_tie() -> None:
    """As bits -0.0 is less than 0.0; some processors make it of products with zeros."""
    keys = room._keys(torch.tensor([[-0.0, 0.0, -1.0, 1.0]]), slice(5, 9))
    assert room.index_of(keys.sort(descending=True).values).tolist() == [[8, 5, 6, 7]]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("largest", [1.0, None])
def test_half_precision_of_any_size(kind: Similarity, dtype: torch.dtype, largest: float | None) -> None:
    size = torch.finfo(dtype).max / 8 if largest is None else largest
    query = (points(40).clamp(-4, 4) * size).to(dtype)
    gallery = (points(80, seed=1).clamp(-4, 4) * size).to(dtype)
    indices, _ = naive(query.double() / size, gallery.double() / size, 3, None, kind)
    with torch.autocast("cpu", torch.bfloat16):
        result = nearest(query, gallery, 3, similarity=kind)
    assert result.indices.tolist() == indices
    assert not result.similarities.isnan().any()


def test_a_common_offset_costs_no_neighbour() -> None:
    query, gallery = (points(50) * 2**-6).round(decimals=3), (points(90, seed=1) * 2**-6).round(decimals=3)
    moved = [(side.double() + 100).float() for side in (query, gallery)]
    indices, _ = naive(*moved, 3, None, "euclidean")
    assert nearest(*moved, 3, similarity="euclidean").indices.tolist() == indices


def test_cosines_see_no_scale() -> None:
    query, gallery = points(30), points(60, seed=1)
    scales = 2.0 ** torch.arange(-100, 101, 200 / 59).round()[:60, None]
    assert torch.equal(
        nearest(query * 2**-90, gallery * scales, 4).indices, nearest(query, gallery, 4).indices
    )
    assert unit_rows(torch.zeros(2, 3)).tolist() == [[0.0] * 3] * 2


@pytest.mark.gpu
@pytest.mark.parametrize("kind", KINDS)
def test_a_device_finds_the_same(kind: Similarity) -> None:
    query, gallery = grid(70, 4), grid(300, 4, seed=1)
    there = nearest(query.cuda(), gallery.cuda(), 20, similarity=kind)
    assert torch.equal(there.indices.cpu(), nearest(query, gallery, 20, similarity=kind).indices)


def test_bad_input_is_named() -> None:
    five = points(5)
    for bad in (0, -1):
        with pytest.raises(InputError, match=f"k={bad} nearest neighbours"):
            nearest(five, five, bad)
    with pytest.raises(InputError, match="no query embeddings"):
        nearest(five[:0], five, 1)
    with pytest.raises(InputError, match="no gallery embeddings"):
        nearest(five, five[:0], 1)
    for dim in (6, 8):
        with pytest.raises(ValueError, match="expected query"):
            nearest(five, points(5, dim), 1)
    with pytest.raises(ValueError, match="expected query"):
        nearest(five[None], five[None], 1)
    with pytest.raises(ValueError, match="gallery embedding is not finite"):
        nearest(five, five * torch.nan, 1)
    with pytest.raises(ValueError, match="query embedding is not finite"):
        nearest(five * torch.inf, five, 1)
    with pytest.raises(ValueError, match="ids of both sides"):
        nearest(five, five, 1, query_ids=torch.arange(5))
    with pytest.raises(ValueError, match="ids of both sides"):
        nearest(five, five, 1, gallery_ids=torch.arange(5))
    with pytest.raises(ValueError, match="do not number 5 rows"):
        nearest(five, five, 1, query_ids=torch.arange(5), gallery_ids=torch.arange(4))
