from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from torch import Tensor

from fewshot.errors import InputError
from fewshot.evaluation import clustering
from fewshot.evaluation.clustering import Clusters, cluster_agreement, k_means
from fewshot.evaluation.embeddings import Embeddings
from fewshot.randomness import generator


def drawn(seed: int = 0) -> torch.Generator:
    return generator(seed, "k-means", 0)


def blobs(
    classes: int = 12, images: int = 40, dim: int = 16, noise: float = 0.6
) -> tuple[Tensor, np.ndarray]:
    source = torch.Generator().manual_seed(1)
    means = torch.randn(classes, dim, generator=source)
    labels = torch.arange(classes * images) % classes
    points = means[labels] + noise * torch.randn(len(labels), dim, generator=source)
    return points, labels.numpy()


def naive_inertia(points: Tensor, clusters: Clusters) -> float:
    """The sum of squared distances to the mean of the own cluster, which is the nearest of all means."""
    total = 0.0
    members: dict[int, list[list[float]]] = {}
    for point, cluster in zip(points.double().tolist(), clusters.assigned.tolist(), strict=True):
        members.setdefault(cluster, []).append(point)
    means = {c: [sum(axis) / len(group) for axis in zip(*group, strict=True)] for c, group in members.items()}
    for c, group in members.items():
        np.testing.assert_allclose(
            clusters.centres[c].tolist(), means[c], atol=2e-6 * float(points.abs().max())
        )
        for point in group:
            squares = {
                d: sum((a - b) ** 2 for a, b in zip(point, mean, strict=True)) for d, mean in means.items()
            }
            assert squares[c] <= min(squares.values()) * (1 + 1e-5)
            total += squares[c]
    return total


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_the_end_is_a_fixed_point_of_lloyd(offset: float) -> None:
    points = blobs()[0] + offset
    clusters = k_means(points, 12, drawn())
    assert clusters.inertia == pytest.approx(naive_inertia(points, clusters), rel=1e-5)
    assert clusters.assigned.unique().tolist() == list(range(12))


@pytest.mark.parametrize("noise", [0.6, 1.5])
def test_as_good_as_scikit_learn(noise: float) -> None:
    points, _ = blobs(noise=noise)
    ours = k_means(points, 12, drawn(), restarts=10).inertia
    theirs = KMeans(12, n_init=10, random_state=0).fit(points.numpy()).inertia_
    assert ours == pytest.approx(theirs, rel=0.02)


def test_finds_the_best_of_all_partitions_of_few_points() -> None:
    points = torch.randn(7, 2, generator=torch.Generator().manual_seed(5))
    best = math.inf
    for split in itertools.product(range(3), repeat=7):
        groups = [points[[i for i in range(7) if split[i] == c]].double() for c in range(3)]
        best = min(best, sum(float((g - g.mean(0)).square().sum()) for g in groups if len(g)))
    assert k_means(points, 3, drawn(), restarts=20).inertia == pytest.approx(best, rel=1e-5)


def test_the_generator_decides_and_blocks_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    points, _ = blobs(noise=1.5)
    one, same, other = (k_means(points, 12, drawn(seed), restarts=2) for seed in (0, 0, 1))
    assert torch.equal(one.assigned, same.assigned) and one.inertia == same.inertia
    assert torch.equal(one.centres, same.centres)
    assert not torch.equal(one.assigned, other.assigned)
    monkeypatch.setattr(clustering, "_PAIRS_CPU", 16 * 7)
    parts = k_means(points, 12, drawn(), restarts=2)
    assert torch.equal(one.assigned, parts.assigned) and torch.equal(one.centres, parts.centres)


def test_more_restarts_are_never_worse() -> None:
    points, _ = blobs(noise=1.5)
    tried = [k_means(points, 12, drawn(3), restarts=restarts).inertia for restarts in (1, 4, 8)]
    assert tried == sorted(tried, reverse=True) and tried[2] < tried[0]


def test_first_centres_are_drawn_by_squared_distance() -> None:
    """Of points at 0 (90 of them), 1 and 3 the second centre is 3 in 9 of 10 draws that begin at 0."""
    points = torch.tensor([[0.0]] * 90 + [[1.0], [3.0]])
    source, counts = torch.Generator().manual_seed(0), {0.0: 0, 1.0: 0, 3.0: 0}
    for _ in range(600):
        first, second = clustering._first_centres(points, 2, source).squeeze(1).tolist()
        if first == 0:
            counts[second] += 1
    assert counts[0.0] == 0
    share = counts[3.0] / (counts[1.0] + counts[3.0])
    assert abs(share - 0.9) < 4 * math.sqrt(0.9 * 0.1 / 600)


def test_an_empty_cluster_moves_to_the_farthest_point() -> None:
    points = torch.tensor([[0.0], [0.1], [5.0], [9.0]])
    centres = torch.tensor([[0.0], [100.0], [200.0]])
    assigned, squared = clustering._assign(points, centres)
    assert assigned.tolist() == [0, 0, 0, 0]
    means = clustering._means(points / 8, assigned, squared, centres / 8) * 8
    torch.testing.assert_close(means, torch.tensor([[14.1 / 4], [9.0], [5.0]]))
    found = clustering._lloyd(points / 8, centres / 8, 100)
    assert sorted(found.assigned.bincount().tolist()) == [1, 1, 2]


def test_agreement_is_that_of_the_formulas() -> None:
    """NMI = 2 I / (H + H) from a table of counts."""
    points, labels = blobs(noise=1.5)
    embeddings = Embeddings(points, np.arange(len(points)))
    result = cluster_agreement(embeddings, labels, drawn(), similarity="euclidean")
    assigned = k_means(points, 12, drawn()).assigned.tolist()
    n = len(labels)
    joint: dict[tuple[int, int], int] = {}
    for pair in zip(labels.tolist(), assigned, strict=True):
        joint[pair] = joint.get(pair, 0) + 1
    rows, columns = ([sum(v for p, v in joint.items() if p[s] == c) / n for c in range(12)] for s in (0, 1))
    told = sum(v / n * math.log(v / n / rows[a] / columns[b]) for (a, b), v in joint.items())
    entropy = [-sum(p * math.log(p) for p in side if p) for side in (rows, columns)]
    assert result.nmi == pytest.approx(2 * told / sum(entropy), rel=1e-9)
    assert 0.2 < result.ami < result.nmi < 0.99 and result.clusters == 12


def test_names_of_labels_and_scale_are_free() -> None:
    points, labels = blobs(noise=1.0)
    before = cluster_agreement(Embeddings(points, np.arange(len(points))), labels, drawn())
    scales = 2.0 ** torch.randint(-9, 9, (len(points), 1))
    after = cluster_agreement(Embeddings(points * scales, np.arange(len(points))), 900 - labels * 7, drawn())
    assert after.nmi == pytest.approx(before.nmi) and after.ami == pytest.approx(before.ami)


def test_clear_classes_are_found_and_chance_is_not_rewarded() -> None:
    points, labels = blobs(noise=0.1)
    found = cluster_agreement(Embeddings(points, np.arange(len(points))), labels, drawn(), restarts=5)
    assert found.nmi == pytest.approx(1) and found.ami == pytest.approx(1)
    mixed = np.random.default_rng(0).permutation(labels)
    chance = cluster_agreement(Embeddings(points, np.arange(len(points))), mixed, drawn(), restarts=5)
    assert abs(chance.ami) < 0.03 < chance.nmi


@pytest.mark.parametrize("value", [0.0, 1.0, 1e30])
def test_equal_embeddings_and_few_distinct_ones(value: float) -> None:
    same = torch.full((20, 3), value)
    clusters = k_means(same, 4, drawn())
    assert clusters.inertia == 0 and len(clusters.assigned.unique()) == 1
    assert clusters.centres.isfinite().all()
    two = torch.cat([same[:10], same[:10] - max(1.0, value)])
    assert k_means(two, 5, drawn()).inertia == 0
    assert cluster_agreement(Embeddings(same, np.arange(20)), np.arange(20) % 4, drawn()).nmi == 0


def test_one_class_one_image_a_class_and_low_precision() -> None:
    points, labels = blobs()
    numbers = np.arange(len(points))
    assert cluster_agreement(Embeddings(points, numbers), labels * 0, drawn()).nmi == 1
    few = Embeddings(points[:9], numbers[:9])
    assert cluster_agreement(few, numbers[:9], drawn()).nmi == pytest.approx(1)
    huge = (points * 1e37).bfloat16()
    clusters = k_means(huge, 12, drawn())
    assert clusters.assigned.unique().numel() == 12 and clusters.centres.isfinite().all()
    assert cluster_agreement(Embeddings(huge, numbers), labels, drawn(), restarts=5).nmi > 0.9


def test_bad_input_is_named() -> None:
    points, labels = blobs()
    for bad in (0, len(points) + 1):
        with pytest.raises(InputError, match=f"cannot make {bad} clusters of {len(points)}"):
            k_means(points, bad, drawn())
    with pytest.raises(InputError, match="restarts=0"):
        k_means(points, 2, drawn(), restarts=0)
    with pytest.raises(InputError, match="are not finite"):
        cluster_agreement(Embeddings(points * torch.nan, np.arange(len(points))), labels, drawn())
    with pytest.raises(InputError, match="0 clusters of 0 embeddings"):
        cluster_agreement(Embeddings(points[:0], np.arange(0)), labels[:0], drawn())
