from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from fewshot.errors import InputError
from fewshot.evaluation.embeddings import Embeddings
from fewshot.evaluation.nearest import Similarity
from fewshot.evaluation.retrieval import Retrieval, retrieve

Mask = np.ndarray


def case(n: int = 60, classes: int = 8, dim: int = 5, seed: int = 0) -> tuple[Embeddings, np.ndarray]:
    """Overlapping classes of unequal sizes, some of one image; image numbers are not row numbers."""
    draw = np.random.default_rng(seed)
    labels = np.minimum(draw.geometric(0.25, n), classes) * 11 - 40
    labels[:2] = 900, 901
    means = draw.normal(size=(1000, dim))[labels]
    features = torch.from_numpy(means + 0.9 * draw.normal(size=(n, dim))).float()
    return Embeddings(features, draw.permutation(5 * n)[:n].astype(np.int64)), labels.astype(np.int64)


def naive(
    embeddings: Embeddings,
    labels: np.ndarray,
    recall_at: tuple[int, ...],
    query: Mask | None,
    gallery: Mask | None,
    kind: Similarity,
) -> dict[str, list]:
    """Every measure from the sorted list of each query, in float64."""
    features = embeddings.features.double().tolist()
    found: dict[str, list] = {"images": [], "hits": [], "r_precision": [], "map_at_r": [], "ranks": []}
    found["lonely"] = []
    for i, q in enumerate(features):
        if query is not None and not query[i]:
            continue
        scored = []
        for j, x in enumerate(features):
            if j == i or (gallery is not None and not gallery[j]):
                continue
            if kind == "cosine":
                score = sum(a * b for a, b in zip(q, x, strict=True)) / math.hypot(*q) / math.hypot(*x)
            else:
                score = -sum((a - b) ** 2 for a, b in zip(q, x, strict=True))
            scored.append((-round(score, 9), j))
        right = [labels[j] == labels[i] for _, j in sorted(scored)]
        r = sum(right)
        if r == 0:
            found["lonely"].append(i)
            continue
        found["images"].append(embeddings.images[i])
        found["ranks"].append(right.index(True) + 1)
        found["hits"].append([any(right[:k]) for k in recall_at])
        found["r_precision"].append(sum(right[:r]) / r)
        found["map_at_r"].append(sum(sum(right[: p + 1]) / (p + 1) for p in range(r) if right[p]) / r)
    return found


def compare(result: Retrieval, expected: dict[str, list]) -> None:
    assert result.lonely == len(expected["lonely"])
    np.testing.assert_array_equal(result.images, expected["images"])
    np.testing.assert_array_equal(result.ranks, expected["ranks"])
    np.testing.assert_array_equal(result.hits.T, expected["hits"])
    np.testing.assert_allclose(result.r_precision, expected["r_precision"], rtol=1e-12)
    np.testing.assert_allclose(result.map_at_r, expected["map_at_r"], rtol=1e-12)
    np.testing.assert_allclose(result.reciprocal_rank, 1 / np.array(expected["ranks"]))


def masks(kind: str, n: int) -> tuple[Mask | None, Mask | None]:
    draw = np.random.default_rng(3)
    query = draw.random(n) < 0.4
    return {
        "everybody": (None, None),
        "apart": (query, ~query),
        "overlapping": (query, draw.random(n) < 0.6),
        "one side": (query, None),
    }[kind]


@pytest.mark.parametrize("kind", ["cosine", "euclidean"])
@pytest.mark.parametrize("who", ["everybody", "apart", "overlapping", "one side"])
@pytest.mark.parametrize("recall_at", [(1, 2, 4, 8), (3,), (1, 60, 1000)])
def test_equals_sorted_lists(kind: Similarity, who: str, recall_at: tuple[int, ...]) -> None:
    embeddings, labels = case()
    query, gallery = masks(who, len(labels))
    expected = naive(embeddings, labels, recall_at, query, gallery, kind)
    result = retrieve(embeddings, labels, recall_at=recall_at, query=query, gallery=gallery, similarity=kind)
    compare(result, expected)
    assert len(expected["lonely"]) >= (0 if who == "apart" else 1)
    assert result.gallery == (len(labels) if gallery is None else gallery.sum())


def test_ranks_far_beyond_r_are_counted_exactly() -> None:
    """Pairs of a class at random among 400 images: R is 1, the one right image anywhere."""
    features = torch.randn(400, 6, generator=torch.Generator().manual_seed(0))
    embeddings, labels = Embeddings(features, np.arange(400)), np.arange(400) // 2
    result = retrieve(embeddings, labels, recall_at=(1, 100))
    compare(result, naive(embeddings, labels, (1, 100), None, None, "cosine"))
    assert result.ranks.max() > 300


def test_a_known_case_by_hand() -> None:
    """MAP@R example: R = 3, right at ranks 1 and 3 of 4: (1/1 + 2/3) / 3; R-precision 2/3."""
    angles = torch.tensor([0.0, 0.1, 0.2, 0.3, 2.0])
    embeddings = Embeddings(torch.stack([angles.cos(), angles.sin()], dim=1), np.arange(5))
    labels = np.array([7, 7, 2, 7, 7])
    only = np.arange(5) == 0
    result = retrieve(embeddings, labels, query=only)
    assert result.map_at_r[0] == pytest.approx((1 + 2 / 3) / 3)
    assert result.r_precision[0] == pytest.approx(2 / 3)
    assert result.ranks.tolist() == [1]


def test_a_miss_in_a_gallery_of_few() -> None:
    embeddings = Embeddings(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.1]]), np.arange(3))
    result = retrieve(embeddings, np.array([4, 4, 5]))
    assert result.ranks.tolist() == [2, 2] and result.map_at_r.tolist() == [0, 0] and result.lonely == 1


def test_means_intervals_and_classes() -> None:
    embeddings, labels = case()
    result = retrieve(embeddings, labels, recall_at=(8, 1, 8))
    assert result.recall_at == (1, 8)
    intervals = result.intervals()
    assert list(intervals) == ["recall@1", "recall@8", "r_precision", "map_at_r", "mrr"]
    q = len(result.images)
    for name, values in {
        "recall@1": result.hits[0],
        "mrr": 1 / result.ranks,
        "map_at_r": result.map_at_r,
    }.items():
        assert intervals[name].mean == pytest.approx(values.mean())
        assert intervals[name].half_width == pytest.approx(1.96 * values.std(ddof=1) / math.sqrt(q))
    assert result.per_class() == pytest.approx(
        {c: np.mean(result.hits[0][result.classes == c]) for c in np.unique(result.classes)}
    )
    assert retrieve(embeddings, labels, recall_at=(4,)).per_class() == result.per_class()


def test_samples_labels_and_scale_are_free() -> None:
    embeddings, labels = case()
    before = retrieve(embeddings, labels)
    order = np.random.default_rng(1).permutation(len(labels))
    moved = Embeddings(embeddings.features[order] * 64, embeddings.images[order])
    after = retrieve(moved, 5000 - labels[order])
    place = {int(image): i for i, image in enumerate(after.images)}
    where = [place[int(image)] for image in before.images]
    np.testing.assert_array_equal(after.ranks[where], before.ranks)
    np.testing.assert_array_equal(after.map_at_r[where], before.map_at_r)
    np.testing.assert_array_equal(5000 - after.classes[where], before.classes)


def test_exact_copies_are_found_and_never_the_image_itself() -> None:
    """Where rank 1 is dropped instead, half of these queries lose the copy and keep themselves."""
    base, _ = case(40)
    embeddings = Embeddings(base.features.repeat(2, 1), np.arange(80))
    copies = retrieve(embeddings, np.arange(80) % 40, recall_at=(1,))
    assert copies.hits.all() and (copies.map_at_r == 1).all()
    # The copy has another class: nobody may find itself in its place.
    wrong = retrieve(embeddings, np.arange(80) // 2, recall_at=(1,))
    compare(wrong, naive(embeddings, np.arange(80) // 2, (1,), None, None, "cosine"))
    assert not wrong.hits.any()


def test_one_class_is_always_right() -> None:
    embeddings, labels = case()
    result = retrieve(embeddings, np.zeros_like(labels), recall_at=(1, 200))
    assert all(interval.mean == 1 for interval in result.intervals().values())
    assert result.per_class() == {0: 1.0} and result.lonely == 0


@pytest.mark.parametrize("value", [0.0, 1.3, 1e30])
def test_a_collapsed_network_scores_by_index(value: float) -> None:
    """All embeddings equal: neighbours come in the order of the rows, whatever the truth."""
    embeddings = Embeddings(torch.full((60, 33), value), np.arange(60))
    labels = np.arange(60) % 6
    for kind in ("cosine", "euclidean"):
        compare(
            retrieve(embeddings, labels, recall_at=(1, 4), similarity=kind),
            naive(Embeddings(torch.ones(60, 1), np.arange(60)), labels, (1, 4), None, None, "cosine"),
        )


def test_half_precision_embeddings() -> None:
    embeddings, labels = case()
    low = Embeddings((embeddings.features * 1e36).bfloat16(), embeddings.images)
    result = retrieve(low, labels)
    shrunk = Embeddings(low.features.double() / 1e36, low.images)
    compare(result, naive(shrunk, labels, result.recall_at, None, None, "cosine"))


def test_progress_reaches_the_queries() -> None:
    embeddings, labels = case()
    seen: list[int] = []
    result = retrieve(embeddings, labels, progress=seen.append)
    assert sum(seen) == len(result.images)


def test_bad_input_is_named() -> None:
    embeddings, labels = case(20)
    none = np.zeros(20, dtype=bool)
    for bad in ((), (0,), (4, -1)):
        with pytest.raises(InputError, match="recall_at="):
            retrieve(embeddings, labels, recall_at=bad)
    with pytest.raises(InputError, match="no query images"):
        retrieve(embeddings, labels, query=none)
    with pytest.raises(InputError, match="no gallery images"):
        retrieve(embeddings, labels, gallery=none)
    with pytest.raises(InputError, match="none of the 20 queries has another image"):
        retrieve(embeddings, np.arange(20))
    with pytest.raises(ValueError, match="do not label 20 embeddings"):
        retrieve(embeddings, labels[:-1])
    with pytest.raises(ValueError, match="query mask must be bool"):
        retrieve(embeddings, labels, query=np.arange(20))
    with pytest.raises(InputError, match="1 of 20 embeddings are not finite"):
        broken = embeddings.features.clone()
        broken[3, 1] = torch.nan
        retrieve(dataclasses.replace(embeddings, features=broken), labels)
    alone = Embeddings(embeddings.features[:1], embeddings.images[:1])
    with pytest.raises(InputError, match="none of the 1 queries"):
        retrieve(alone, labels[:1])
