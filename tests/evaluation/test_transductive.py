"""Each transductive classifier against a plain loop over one episode in float64, and what they promise."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from fewshot.errors import InputError
from fewshot.evaluation.classifiers.classifier import Classifier
from fewshot.evaluation.classifiers.laplacian_shot import LaplacianShot
from fewshot.evaluation.classifiers.nearest_prototype import NearestPrototype
from fewshot.evaluation.classifiers.optimal_transport import OptimalTransport
from fewshot.evaluation.classifiers.power_transform import PowerTransform
from fewshot.evaluation.classifiers.soft_kmeans import SoftKMeans
from fewshot.evaluation.classifiers.tim import TIM

WAYS, SHOTS, QUERIES, DIM = 4, 2, 8, 6
ALL: list[Classifier] = [
    SoftKMeans(steps=3, scale=2.0),
    LaplacianShot(weight=1.0),
    OptimalTransport(),
    TIM(steps=60, rate=0.01),
    PowerTransform(OptimalTransport()),
]


def episodes(count: int = 6) -> tuple[Tensor, Tensor]:
    """Support [count, WAYS, SHOTS, DIM], query [count, WAYS * QUERIES, DIM], of length one, overlapping."""
    draw = torch.Generator().manual_seed(0)
    means = torch.randn(count, WAYS, 1, DIM, generator=draw)
    noise = torch.randn(count, WAYS, SHOTS + QUERIES, DIM, generator=draw)
    images = torch.nn.functional.normalize(means + 0.9 * noise, dim=-1)
    return images[:, :, :SHOTS], images[:, :, SHOTS:].flatten(1, 2)


def softmax(row: list[float]) -> list[float]:
    highest = max(row)
    powers = [math.exp(value - highest) for value in row]
    return [value / sum(powers) for value in powers]


def distances(query: np.ndarray, prototypes: list[np.ndarray]) -> list[list[float]]:
    return [[float(((q - p) ** 2).sum()) for p in prototypes] for q in query]


def naive_soft_kmeans(support: np.ndarray, query: np.ndarray) -> list[list[float]]:
    prototypes = [way.mean(0) for way in support]
    for _ in range(3):
        z = [softmax([-2.0 * d for d in row]) for row in distances(query, prototypes)]
        prototypes = [
            (support[c].sum(0) + sum(z[m][c] * query[m] for m in range(len(query))))
            / (SHOTS + sum(z[m][c] for m in range(len(query))))
            for c in range(WAYS)
        ]
    return [softmax([-2.0 * d for d in row]) for row in distances(query, prototypes)]


def naive_laplacian(support: np.ndarray, query: np.ndarray) -> list[list[float]]:
    unary = distances(query, [way.mean(0) for way in support])
    near = []
    for m, q in enumerate(query):
        others = sorted((n for n in range(len(query)) if n != m), key=lambda n: ((q - query[n]) ** 2).sum())
        near.append(others[:3])
    y = [softmax([-a for a in row]) for row in unary]
    for _ in range(20):
        y = [
            softmax([-unary[m][c] + sum(y[n][c] for n in near[m]) for c in range(WAYS)])
            for m in range(len(query))
        ]
    return y


def naive_transport(support: np.ndarray, query: np.ndarray) -> list[list[float]]:
    def plan(prototypes: list[np.ndarray]) -> np.ndarray:
        kernel = np.exp(-10.0 * np.array(distances(query, prototypes)))
        kernel = kernel / kernel.sum(1, keepdims=True)
        for _ in range(50):
            kernel = kernel / kernel.sum(0) * len(query) / WAYS
            kernel = kernel / kernel.sum(1, keepdims=True)
        return kernel

    prototypes = [way.mean(0) for way in support]
    for _ in range(20):
        shares = plan(prototypes)
        moved = []
        for c in range(WAYS):
            total = support[c].sum(0) + sum(shares[m, c] * query[m] for m in range(len(query)))
            mean = total / (SHOTS + shares[:, c].sum())
            moved.append(prototypes[c] + 0.4 * (mean - prototypes[c]))
        prototypes = moved
    return plan(prototypes).tolist()


def naive_tim(support: np.ndarray, query: np.ndarray) -> list[list[float]]:
    """With the gradients of the three terms written out, and Adam's equations."""
    prototypes = np.stack([way.mean(0) for way in support])
    images = np.concatenate([support.reshape(-1, DIM), query])
    first, second = np.zeros_like(prototypes), np.zeros_like(prototypes)

    def probabilities(x: np.ndarray) -> np.ndarray:
        return np.array([softmax([-7.5 * d for d in row]) for row in distances(x, list(prototypes))])

    for step in range(1, 61):
        p = probabilities(images)
        slope = np.zeros_like(p)
        known = WAYS * SHOTS
        for i in range(known):
            slope[i] = 0.1 * (p[i] - np.eye(WAYS)[i // SHOTS]) / known
        pi = p[known:].mean(0)
        for i in range(known, len(images)):
            inner = sum(p[i, k] * math.log(p[i, k]) for k in range(WAYS))
            marginal = sum(p[i, k] * math.log(pi[k]) for k in range(WAYS))
            for k in range(WAYS):
                conditional = -p[i, k] * (math.log(p[i, k]) - inner)
                slope[i, k] = (0.1 * conditional + p[i, k] * (math.log(pi[k]) - marginal)) / len(query)
        gradient = np.zeros_like(prototypes)
        for i, x in enumerate(images):
            for k in range(WAYS):
                gradient[k] += slope[i, k] * 15.0 * (x - prototypes[k])
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        prototypes = prototypes - 0.01 * (first / (1 - 0.9**step)) / (
            np.sqrt(second / (1 - 0.999**step)) + 1e-8
        )
    return probabilities(query).tolist()


@pytest.mark.parametrize(
    "classifier,naive",
    list(zip(ALL, (naive_soft_kmeans, naive_laplacian, naive_transport, naive_tim), strict=False)),
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_equals_a_loop(classifier: Classifier, naive: object) -> None:
    support, query = (part.double() for part in episodes(2))
    found = classifier.fit(support).predict(query).softmax(dim=-1)
    for e in range(2):
        plain = naive(support[e].numpy(), query[e].numpy())  # type: ignore[operator]
        expected = torch.tensor(plain, dtype=torch.float64)
        torch.testing.assert_close(found[e], expected, rtol=1e-5, atol=1e-6)


def test_few_queries_are_all_neighbours() -> None:
    support, query = (part.double() for part in episodes(1))
    few = query[:, ::11]
    found = LaplacianShot(weight=1.0).fit(support).predict(few).softmax(dim=-1)[0]
    expected = naive_laplacian(support[0].numpy(), few[0].numpy())
    assert len(few[0]) == 3
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-5, atol=1e-6)


def test_without_a_laplacian_the_nearest_prototype_wins() -> None:
    support, query = episodes(2)
    plain = NearestPrototype().fit(support).predict(query)
    assert torch.equal(LaplacianShot(weight=0).fit(support).predict(query), plain)


def test_the_power_transform_by_hand() -> None:
    made = PowerTransform(NearestPrototype()).transform(torch.tensor([[4.0, 9.0, 0.0, -1.0]]))
    roots = [math.sqrt(v + 1e-6) for v in (4.0, 9.0, 0.0, 0.0)]
    norm = math.sqrt(sum(v * v for v in roots))
    torch.testing.assert_close(made, torch.tensor([[v / norm for v in roots]]))


@pytest.mark.parametrize(
    "classifier", [SoftKMeans(3, 2.0), OptimalTransport(), TIM(60, 0.01)], ids=lambda c: type(c).__name__
)
def test_the_queries_help_where_classes_are_even(classifier: Classifier) -> None:
    support, query = episodes(60)
    truth = torch.arange(WAYS).repeat_interleave(QUERIES)
    plain, seen = (
        (c.fit(support).predict(query).argmax(-1) == truth).float().mean()
        for c in (NearestPrototype(), classifier)
    )
    assert classifier.transductive and not NearestPrototype().transductive
    assert seen > plain + 0.01


@pytest.mark.parametrize("classifier", ALL, ids=lambda c: type(c).__name__)
def test_orders_of_queries_supports_and_ways_change_nothing(classifier: Classifier) -> None:
    support, query = (part.double() for part in episodes(2))
    scores = classifier.fit(support).predict(query)
    ways, queries = torch.tensor([2, 0, 3, 1]), torch.randperm(query.shape[1])
    moved = classifier.fit(support[:, ways].flip(2)).predict(query[:, queries])
    torch.testing.assert_close(
        moved.softmax(-1), scores[:, queries][..., ways].softmax(-1), rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize("classifier", ALL, ids=lambda c: type(c).__name__)
def test_degenerate_episodes_have_finite_scores(classifier: Classifier) -> None:
    support, query = episodes(1)
    for s, q in (
        (support[:, :1], query[:, :1]),  # one way, one query
        (torch.ones_like(support), torch.ones_like(query)),  # all the same
        (100 * support, 100 * query),
        (support[:, :, :1], query[:, :2]),  # fewer queries than ways
    ):
        with torch.inference_mode():
            assert classifier.fit(s).predict(q).isfinite().all()


@pytest.mark.parametrize(
    "make,message",
    [
        (lambda: SoftKMeans(steps=0), "classifier.steps=0 must be at least 1"),
        (lambda: SoftKMeans(scale=0), "classifier.scale=0 must be above 0"),
        (lambda: LaplacianShot(neighbours=0), "classifier.neighbours=0"),
        (lambda: LaplacianShot(weight=-1), "classifier.weight=-1"),
        (lambda: replace(OptimalTransport(), rate=1.5), "classifier.rate=1.5"),
        (lambda: OptimalTransport(sharpness=0), "classifier.sharpness=0"),
        (lambda: TIM(temperature=0), "classifier.temperature=0"),
        (lambda: TIM(conditional=-1), "classifier.conditional=-1"),
        (lambda: PowerTransform(NearestPrototype(), power=0), "classifier.power=0"),
    ],
)
def test_impossible_options_are_one_clear_line(make: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()  # type: ignore[operator]
