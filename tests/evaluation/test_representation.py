from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from fewshot.errors import InputError
from fewshot.evaluation import representation
from fewshot.evaluation.embeddings import Embeddings
from fewshot.evaluation.representation import alignment, uniformity, utilization


def some(n: int, dim: int = 5, seed: int = 0) -> Embeddings:
    features = torch.randn(n, dim, generator=torch.Generator().manual_seed(seed)) + 0.5
    return Embeddings(features, np.arange(n))


def of(features: Tensor) -> Embeddings:
    return Embeddings(features, np.arange(len(features)))


def vectors(embeddings: Embeddings) -> list[list[float]]:
    rows = embeddings.features.double().tolist()
    return [[x / math.hypot(*row) for x in row] for row in rows]


def squared(a: list[float], b: list[float]) -> float:
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def naive_alignment(embeddings: Embeddings, labels: np.ndarray) -> float:
    unit, n = vectors(embeddings), len(labels)
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j and labels[i] == labels[j]]
    return sum(squared(unit[i], unit[j]) for i, j in pairs) / len(pairs)


def naive_uniformity(embeddings: Embeddings) -> float:
    unit = vectors(embeddings)
    values = [math.exp(-2 * squared(a, b)) for i, a in enumerate(unit) for b in unit[:i]]
    return math.log(sum(values) / len(values))


LABELS = np.random.default_rng(0).choice([3, 8, 9, 70], 60)


@pytest.mark.parametrize("rows", [1, 7, 1024])
def test_equal_loops_over_pairs(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(representation, "_ROWS_CPU", rows)
    training, test = some(60), some(25, seed=1)
    expected = sum(min(squared(q, x) for x in vectors(training)) for q in vectors(test)) / 25
    assert utilization(test, training) == pytest.approx(expected, rel=1e-6)
    assert alignment(training, LABELS) == pytest.approx(naive_alignment(training, LABELS), rel=1e-6)
    assert uniformity(training) == pytest.approx(naive_uniformity(training), rel=1e-6)


def test_known_values() -> None:
    axes = torch.cat([torch.eye(3), -torch.eye(3)])
    # Of the 15 pairs of the six poles, 3 are opposite (squared distance 4) and 12 at right angles (2).
    assert uniformity(of(axes)) == pytest.approx(math.log((3 * math.exp(-8) + 12 * math.exp(-4)) / 15))
    assert alignment(of(axes), np.array([0, 1, 2, 0, 1, 2])) == pytest.approx(4)
    assert utilization(of(-torch.eye(3)), of(torch.eye(3))) == pytest.approx(2)
    assert utilization(of(torch.eye(3)), of(axes)) == 0


def test_samples_labels_and_scale_are_free() -> None:
    training, test = some(60), some(25, seed=1)
    order = np.random.default_rng(1).permutation(60)
    scales = 2.0 ** torch.randint(-60, 60, (60, 1))
    moved = of((training.features * scales)[order])
    assert alignment(moved, 100 - LABELS[order]) == pytest.approx(alignment(training, LABELS), rel=1e-9)
    assert uniformity(moved) == pytest.approx(uniformity(training), rel=1e-6)
    assert utilization(test, moved) == pytest.approx(utilization(test, training), rel=1e-9)


def test_short_distances_keep_their_digits() -> None:
    """2 - 2 cos in float32 knows squared distances to 1e-7; these are of 1e-8."""
    base = some(40).features.double()
    near = base + 1e-4 * torch.randn(40, 5, generator=torch.Generator().manual_seed(2)).double()
    training, test = of(base.float()), of(near.float())
    expected = sum(min(squared(q, x) for x in vectors(training)) for q in vectors(test)) / 40
    assert 0 < expected < 1e-7
    assert utilization(test, training) == pytest.approx(expected, rel=5e-3)
    both, labels = of(torch.cat([training.features, test.features])), np.arange(80) % 40
    assert alignment(both, labels) == pytest.approx(naive_alignment(both, labels), rel=5e-3)


@pytest.mark.parametrize("value", [1.0, 1e30, 1e-30])
def test_equal_embeddings(value: float) -> None:
    same = of(torch.full((20, 3), value))
    assert utilization(same, same) == 0
    assert alignment(same, np.zeros(20, dtype=np.int64)) == 0
    assert -1e-6 < uniformity(same) <= 0


def test_half_precision_of_any_size() -> None:
    for dtype in (torch.bfloat16, torch.float16):
        size = torch.finfo(dtype).max / 8
        low, plain = ((some(60).features.clamp(-4, 4) * by).to(dtype) for by in (size, 1.0))
        with torch.autocast("cpu", torch.bfloat16):
            assert alignment(of(low), LABELS) == pytest.approx(
                naive_alignment(of(low.double() / size), LABELS), 1e-5
            )
            assert uniformity(of(low)) == pytest.approx(naive_uniformity(of(low.double() / size)), rel=1e-5)
            assert 0 < utilization(of(low), of(plain[:30])) < 4


def test_single_images_carry_no_alignment() -> None:
    training = some(61)
    lone = np.append(LABELS, 1000)
    fewer = of(training.features[:60])
    assert alignment(training, lone) == pytest.approx(alignment(fewer, LABELS), rel=1e-9)


def test_bad_input_is_named() -> None:
    two, none = some(2), of(torch.zeros(0, 5))
    with pytest.raises(InputError, match="every class has a single one"):
        alignment(two, np.arange(2))
    with pytest.raises(InputError, match="two images or more; there is one"):
        uniformity(some(1))
    with pytest.raises(InputError, match="no test embeddings"):
        utilization(none, two)
    with pytest.raises(InputError, match="no training embeddings"):
        utilization(two, none)
    for measure in (uniformity, lambda broken: alignment(broken, np.zeros(2)), lambda b: utilization(two, b)):
        with pytest.raises(InputError, match="are not finite"):
            measure(of(two.features * torch.nan))
