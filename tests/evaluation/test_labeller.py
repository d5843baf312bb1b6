"""Labels from a support: left-out scores, temperature, spread and threshold against naive loops."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from fewshot.evaluation.classifiers.cl2n import CL2N
from fewshot.evaluation.classifiers.classifier import Classifier
from fewshot.evaluation.classifiers.logistic_regression import LogisticRegression
from fewshot.evaluation.classifiers.nearest_neighbours import NearestNeighbours
from fewshot.evaluation.classifiers.nearest_prototype import NearestPrototype
from fewshot.evaluation.classifiers.ridge import Ridge
from fewshot.evaluation.labeller import Labeller
from fewshot.evaluation.leave_one_out import LeftOut, leave_one_out, temperature
from fewshot.evaluation.unlikeness import Prototypes, Space

SIZES = (1, 4, 3)


def support(sizes: tuple[int, ...] = SIZES, dim: int = 5, offset: float = 0.0) -> tuple[Tensor, Tensor]:
    """Embeddings [n, dim] of classes of these sizes, in mixed order, and their labels [n]."""
    draw = torch.Generator().manual_seed(sum(sizes))
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    labels = labels[torch.randperm(len(labels), generator=draw)]
    means = 2 * torch.randn(len(sizes), dim, generator=draw)
    return means[labels] + torch.randn(len(labels), dim, generator=draw) + offset, labels


ALL: list[Classifier] = [
    NearestPrototype(),
    NearestPrototype("cosine"),
    NearestNeighbours(2),
    LogisticRegression(),
    Ridge(),
    CL2N(NearestPrototype(), mean=torch.ones(5)),
]


@pytest.mark.parametrize("classifier", ALL, ids=lambda c: type(c).__name__)
def test_left_out_scores_are_those_of_a_fit_to_the_others(classifier: Classifier) -> None:
    x, labels = support()
    scores, of = leave_one_out(classifier, x, labels, 3)
    row = 0
    for i in range(len(x)):
        if labels[i] == 0:
            continue  # alone in its class
        kept = [j for j in range(len(x)) if j != i]
        wanted = classifier.fit_labelled(x[kept][None], labels[kept][None], 3).predict(x[i][None, None])[0, 0]
        torch.testing.assert_close(scores[row], wanted, rtol=1e-4, atol=1e-4)
        assert of[row] == labels[i]
        row += 1
    assert row == len(scores) == 7


def test_as_many_are_left_out_at_once_as_fit() -> None:
    x, labels = support()
    for memory, sizes in ((3 * 7 * 5 * 4, [3, 3, 1]), (3 * 7 * 5 * 4 - 1, [2, 2, 2, 1]), (1, [1] * 7)):
        seen: list[int] = []

        class Watched(NearestPrototype):
            block_bytes = memory

            def fit_labelled(self, support: Tensor, labels: Tensor, ways: int, seen: list[int] = seen) -> Any:
                seen.append(len(support))
                return super().fit_labelled(support, labels, ways)

        leave_one_out(Watched(), x, labels, 3)
        assert seen == sizes


def test_at_most_a_hundred_are_left_out_and_none_where_all_are_alone() -> None:
    x, labels = support((150, 90))
    scores, of = leave_one_out(NearestPrototype(), x, labels, 2)
    assert scores.shape == (100, 2) and 0 < int(of.sum()) < 100
    alone = leave_one_out(NearestPrototype(), *support((1, 1, 1)), 3)
    assert alone.scores.shape == (0, 3) and alone.accuracy is None


def test_temperature_has_the_least_loss_of_the_targets() -> None:
    x, labels = support((6, 5, 4), offset=0.3)
    left_out = leave_one_out(NearestPrototype(), x, labels, 3)

    def loss(t: float) -> float:
        m, total = len(left_out.labels), 0.0
        for scores, label in zip(left_out.scores.double().tolist(), left_out.labels.tolist(), strict=True):
            top = max(scores)
            norm = top / t + math.log(sum(math.exp((s - top) / t) for s in scores))
            for w, score in enumerate(scores):
                target = (m + 1) / (m + 2) if w == label else 1 / (m + 2) / 2
                total -= target * (score / t - norm)
        return total

    found = temperature(left_out, left_out)
    step = 10 ** (1 / 20)
    assert loss(found) <= min(loss(found * step), loss(found / step))


def test_temperature_without_left_out_images_is_a_quarter_of_the_lead() -> None:
    x, labels = torch.tensor([[0.0], [2.0]]), torch.tensor([0, 1])
    labeller = Labeller.fit(NearestPrototype(), x, labels, 2)
    assert labeller.temperature == pytest.approx(1.0)  # the lead is 2^2
    found = labeller.label(torch.tensor([[0.5]]), 2, 2)
    assert found.probabilities[0, 0] == pytest.approx(1 / (1 + math.exp(-2)))  # 0.88


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_scale_of_the_embeddings_changes_no_probability(scale: float) -> None:
    x, labels = support((5, 4, 3))
    query = support((6,))[0]
    first = Labeller.fit(NearestPrototype(), x, labels, 3).label(query, 3, 2)
    other = Labeller.fit(NearestPrototype(), scale * x, labels, 3).label(scale * query, 3, 2)
    torch.testing.assert_close(other.probabilities, first.probabilities, rtol=1e-3, atol=1e-5)
    assert torch.equal(other.nearest, first.nearest)


@pytest.mark.parametrize("classifier", ALL[:2] + ALL[5:], ids=["euclidean", "cosine", "cl2n"])
def test_threshold_and_spread_against_a_loop(classifier: Classifier) -> None:
    x, labels = support()
    made = Prototypes.fit(Space.of(classifier), x, labels, 3, false_alarms=0.25)

    def vector(row: Tensor) -> Tensor:
        centred = (row - 1) / (row - 1).norm()
        return centred if isinstance(classifier, CL2N) else row

    def point(row: Tensor) -> Tensor:
        return row / row.norm() if made.space.unit else row

    def mean(rows: list[Tensor]) -> Tensor:
        return sum(rows[1:], rows[0]) / len(rows)

    rows = [vector(row) for row in x.double()]
    spreads = []
    for i, row in enumerate(rows):
        others = [rows[j] for j in range(len(rows)) if labels[j] == labels[i] and j != i]
        if others:
            distance = float((point(row) - point(mean(others))).norm())
            spreads.append(distance / math.sqrt(1 + 1 / len(others)))
    assert len(spreads) == 7
    spreads.sort()
    at = 0.75 * (len(spreads) - 1)
    wanted = spreads[int(at)] + (at - int(at)) * (spreads[int(at) + 1] - spreads[int(at)])
    assert made.threshold == pytest.approx(wanted, rel=1e-4)

    query = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))
    found = made.spread(made.distances(made.space.points(made.space.vectors(query))))
    for q, spread in zip(query.double(), found.tolist(), strict=True):
        least = []
        for w in range(3):
            members = [rows[i] for i in range(len(rows)) if labels[i] == w]
            distance = float((point(vector(q)) - point(mean(members))).norm())
            least.append(distance / math.sqrt(1 + 1 / len(members)))
        assert spread == pytest.approx(min(least), rel=1e-4)


def test_threshold_of_one_image_a_class_is_between_the_classes() -> None:
    x = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 6.0]])
    made = Prototypes.fit(Space(None, False), x, torch.arange(3), 3)
    assert made.threshold == pytest.approx(4.0 / math.sqrt(2))  # nearest others are at 4, 4 and 6
    # A query is unlike once it is further from all three than 4.
    query = torch.tensor([[-3.9, 0.0], [-4.1, 0.0]])
    assert (made.spread(made.distances(query)) > made.threshold).tolist() == [False, True]


def test_the_same_image_twice_is_no_spread() -> None:
    x = torch.tensor([[0.0, 1.0], [0.0, 1.0], [3.0, 1.0], [3.0, 1.0]])
    made = Prototypes.fit(Space(None, False), x, torch.tensor([0, 0, 1, 1]), 2)
    assert made.threshold == pytest.approx(3 / math.sqrt(2)) and "no class has two" in made.rule


@pytest.mark.parametrize("sizes", [(1,), (3,)])
def test_one_class_alone(sizes: tuple[int, ...]) -> None:
    x, labels = support(sizes)
    labeller = Labeller.fit(NearestPrototype(), x, labels, 1)
    found = labeller.label(torch.cat([x[:1], x[:1] + 100]), 3, 3)
    assert found.probabilities.tolist() == [[1.0], [1.0]]
    unlike = (found.spread > labeller.prototypes.threshold).tolist()
    assert unlike == [False, sizes == (3,)]
    assert math.isfinite(labeller.prototypes.threshold) == (sizes == (3,))


def test_an_image_of_the_support_is_at_zero_from_itself_far_from_the_origin() -> None:
    x, labels = support((4, 4), dim=64, offset=50.0)
    found = Labeller.fit(NearestPrototype(), x, labels, 2).label(x, 2, 3)
    assert found.nearest[:, 0].tolist() == list(range(8))
    assert float(found.nearest_distances[:, 0].max()) == 0
    wanted = torch.cdist(x.double(), x.double()).sort(dim=1)
    torch.testing.assert_close(found.nearest_distances.double(), wanted.values[:, :3], rtol=1e-4, atol=1e-4)


def test_left_out_accuracy() -> None:
    scores = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 2.0], [3.0, 0.0]])
    assert LeftOut(scores, torch.tensor([0, 1, 1, 0])).accuracy == 0.75
