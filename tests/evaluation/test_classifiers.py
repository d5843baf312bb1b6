"""Each classifier against a naive loop or scikit-learn, one episode at a time."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression as SklearnLogistic
from sklearn.linear_model import RidgeClassifier
from torch import Tensor

from fewshot.errors import InputError
from fewshot.evaluation.classifiers.cl2n import CL2N
from fewshot.evaluation.classifiers.classifier import Classifier
from fewshot.evaluation.classifiers.logistic_regression import LogisticRegression
from fewshot.evaluation.classifiers.nearest_neighbours import NearestNeighbours
from fewshot.evaluation.classifiers.nearest_prototype import NearestPrototype
from fewshot.evaluation.classifiers.ridge import Ridge

ALL: list[Classifier] = [
    NearestPrototype(),
    NearestPrototype("cosine"),
    LogisticRegression(),
    Ridge(),
    NearestNeighbours(3),
    NearestNeighbours(3, "cosine"),
]


def episodes(
    count: int, ways: int, shots: int, queries: int, dim: int, *, noise: float = 2.0, offset: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Support [count, ways, shots, dim] and query [count, ways * queries, dim], float32, overlapping."""
    generator = torch.Generator().manual_seed(ways * 1000 + dim)
    means = torch.randn(count, ways, 1, dim, generator=generator)
    images = means + noise * torch.randn(count, ways, shots + queries, dim, generator=generator) + offset
    return images[:, :, :shots], images[:, :, shots:].flatten(1, 2)


@pytest.mark.parametrize("similarity", ["euclidean", "cosine"])
def test_prototypes_against_a_loop(similarity: str) -> None:
    support, query = episodes(3, 4, 3, 5, 7)
    scores = NearestPrototype(similarity).fit(support.double()).predict(query.double())
    for e in range(3):
        for m in range(20):
            expected = []
            for w in range(4):
                p = sum(support[e, w, s].double() for s in range(3)) / 3
                q = query[e, m].double()
                close = -((q - p) ** 2).sum() if similarity == "euclidean" else q @ p / (q.norm() * p.norm())
                expected.append(float(close))
            found, wanted = scores[e, m], torch.tensor(expected, dtype=torch.float64)
            if similarity == "euclidean":  # known up to a constant for each query
                found, wanted = found - found.mean(), wanted - wanted.mean()
            torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("classifier", [NearestPrototype(), NearestNeighbours(3)])
def test_a_large_common_mean_costs_no_digits(classifier: Classifier) -> None:
    support, query = episodes(20, 5, 5, 15, 64, offset=300.0)
    exact = classifier.fit(support.double()).predict(query.double()).argmax(-1)
    single = classifier.fit(support).predict(query).argmax(-1)
    assert (exact != single).sum() == 0


@pytest.mark.parametrize(
    ("shots", "dim", "noise", "scale", "c"),
    [
        (5, 64, 5.0, 1.0, 1.0),
        (5, 64, 5.0, 30.0, 1.0),  # saturated probabilities
        (5, 64, 5.0, 0.01, 1.0),  # almost only the penalty
        (1, 64, 2.5, 1.0, 1.0),
        (5, 3, 1.0, 1.0, 10.0),  # more samples than dimensions, not separable
        (5, 64, 5.0, 1.0, 0.05),
    ],
)
def test_logistic_regression_predicts_as_scikit_learn(
    shots: int, dim: int, noise: float, scale: float, c: float
) -> None:
    support, query = episodes(30, 5, shots, 15, dim, noise=noise, offset=1.0)
    support, query = support * scale, query * scale
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = LogisticRegression(c).fit(support).predict(query).argmax(-1).numpy()
    labels = np.repeat(np.arange(5), shots)
    differ = 0
    for e in range(30):
        # Its default solver stops on the objective, which is too early where classes separate.
        theirs = SklearnLogistic(C=c, tol=1e-9, max_iter=10000, solver="newton-cg")
        theirs.fit(support[e].flatten(0, 1).double().numpy(), labels)
        differ += int((theirs.predict(query[e].double().numpy()) != ours[e]).sum())
    assert differ <= 0.001 * ours.size
    truth = np.repeat(np.arange(5), 15)
    assert 0.3 < (ours == truth).mean() < 0.99  # neither hopeless nor trivial


def test_logistic_regression_probabilities_are_scikit_learns() -> None:
    support, query = episodes(4, 3, 4, 5, 10)
    ours = LogisticRegression(tolerance=1e-7).fit(support.double()).predict(query.double()).softmax(-1)
    for e in range(4):
        theirs = SklearnLogistic(tol=1e-10, max_iter=10000)
        theirs.fit(support[e].flatten(0, 1).double().numpy(), np.repeat(np.arange(3), 4))
        np.testing.assert_allclose(ours[e], theirs.predict_proba(query[e].double().numpy()), atol=1e-5)


def test_logistic_regression_of_an_episode_ignores_its_company() -> None:
    support, query = episodes(12, 5, 5, 15, 64)
    support[::2] *= 20  # some are solved long before others
    together = LogisticRegression().fit(support).predict(query)
    alone = torch.cat(
        [
            LogisticRegression().fit(s).predict(q)
            for s, q in zip(support.split(1), query.split(1), strict=True)
        ]
    )
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)


def test_logistic_regression_says_when_it_is_not_solved() -> None:
    support, _ = episodes(6, 5, 5, 15, 64)
    with pytest.warns(RuntimeWarning, match="6 of 6 episodes did not reach"):
        LogisticRegression(iterations=1).fit(support)


@pytest.mark.parametrize(("shots", "dim"), [(5, 64), (5, 6), (1, 64)])
@pytest.mark.parametrize("penalty", [1.0, 50.0])
def test_ridge_is_scikit_learns(shots: int, dim: int, penalty: float) -> None:
    support, query = episodes(5, 4, shots, 6, dim, offset=3.0)
    scores = Ridge(penalty).fit(support.double()).predict(query.double())
    for e in range(5):
        theirs = RidgeClassifier(alpha=penalty)
        theirs.fit(support[e].flatten(0, 1).double().numpy(), np.repeat(np.arange(4), shots))
        np.testing.assert_allclose(scores[e], theirs.decision_function(query[e].double().numpy()), atol=1e-9)


@pytest.mark.parametrize("similarity", ["euclidean", "cosine"])
@pytest.mark.parametrize("k", [1, 2, 4, 7, 99])
def test_neighbours_against_a_loop(k: int, similarity: str) -> None:
    support, query = episodes(6, 4, 3, 5, 5)
    predicted = NearestNeighbours(k, similarity).fit(support).predict(query).argmax(-1)
    ties = 0
    for e in range(6):
        for m in range(20):
            distance = {}
            for w in range(4):
                for s in range(3):
                    x, q = support[e, w, s].double(), query[e, m].double()
                    away = (x - q).norm() if similarity == "euclidean" else -(x @ q) / (x.norm() * q.norm())
                    distance[w, s] = float(away)
            voters = sorted(distance, key=lambda place: distance[place])[:k]
            votes = [sum(w == way for w, _ in voters) for way in range(4)]
            tied = [way for way in range(4) if votes[way] == max(votes)]
            ties += len(tied) > 1
            best = min(tied, key=lambda way: min(distance[way, s] for s in range(3)))
            assert int(predicted[e, m]) == best
    assert ties or k == 1


def test_neighbours_of_equal_distance_go_to_the_first_way() -> None:
    support = torch.tensor([[[[1.0, 0.0]], [[-1.0, 0.0]], [[0.0, 1.0]], [[0.0, -1.0]]]])
    scores = NearestNeighbours(1).fit(support).predict(torch.zeros(1, 1, 2))
    assert int(scores.argmax()) == 0


@pytest.mark.parametrize("inner", ALL, ids=str)
def test_cl2n_transforms_before_any_classifier(inner: Classifier) -> None:
    support, query = episodes(4, 4, 3, 5, 9, offset=2.0)
    mean = torch.linspace(1, 3, 9)
    found = CL2N(inner, mean).fit(support).predict(query)

    def by_hand(x: Tensor) -> Tensor:
        rows = [(row - mean) / (row - mean).norm() for row in x.reshape(-1, 9)]
        return torch.stack(rows).view(x.shape)

    torch.testing.assert_close(
        found, inner.fit(by_hand(support)).predict(by_hand(query)), rtol=1e-4, atol=1e-5
    )
    with pytest.raises(InputError, match="mean of the training embeddings"):
        CL2N(inner).fit(support)
    with pytest.raises(InputError, match="has 9 dimensions, the embeddings have 3"):
        CL2N(inner, mean).fit(support[..., :3])


@pytest.mark.parametrize("classifier", ALL, ids=str)
def test_renaming_the_ways_renames_the_scores(classifier: Classifier) -> None:
    support, query = episodes(5, 4, 3, 5, 9)
    order = torch.tensor([2, 0, 3, 1])
    scores = classifier.fit(support).predict(query)
    torch.testing.assert_close(
        classifier.fit(support[:, order]).predict(query), scores[..., order], rtol=1e-3, atol=1e-3
    )
    backwards = classifier.fit(support.flip(2)).predict(query)
    torch.testing.assert_close(backwards, scores, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("classifier", ALL, ids=str)
def test_degenerate_supports_give_finite_scores(classifier: Classifier) -> None:
    query = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(1))
    for support in (
        torch.ones(2, 3, 2, 8),  # all alike
        torch.zeros(2, 3, 2, 8),
        torch.randn(2, 1, 2, 8, generator=torch.Generator().manual_seed(2)),  # one way
        torch.randn(2, 3, 1, 8, generator=torch.Generator().manual_seed(3)),  # one shot
        torch.randn(2, 3, 1, 8, generator=torch.Generator().manual_seed(3)).expand(-1, -1, 4, -1),  # copies
    ):
        scores = classifier.fit(support).predict(query)
        assert scores.shape == (2, 6, support.shape[1])
        assert torch.isfinite(scores).all()


def test_options_out_of_range_are_named() -> None:
    for make, key in (
        (lambda: LogisticRegression(c=0), "classifier.c=0"),
        (lambda: Ridge(penalty=-1), "classifier.penalty=-1"),
        (lambda: Ridge(penalty=0), "classifier.penalty=0"),
        (lambda: NearestNeighbours(k=0), "classifier.k=0"),
    ):
        with pytest.raises(InputError, match=key):
            make()


@pytest.mark.parametrize("classifier", ALL, ids=repr)
def test_labelled_supports_of_equal_classes_are_what_fit_takes(classifier: Classifier) -> None:
    support, query = episodes(3, 4, 5, 6, 7)
    wanted = classifier.fit(support).predict(query)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(4).repeat_interleave(5)[order].expand(3, -1)
    found = classifier.fit_labelled(support.flatten(1, 2)[:, order], labels, 4).predict(query)
    # Scores are known up to a constant for each query.
    found, wanted = (scores - scores.mean(-1, keepdim=True) for scores in (found, wanted))
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)


SIZES = (1, 4, 2)


def unequal() -> tuple[Tensor, Tensor, Tensor]:
    """One episode with classes of 1, 4 and 2 supports [1, 7, dim], their labels, and queries [1, 12, dim]."""
    generator = torch.Generator().manual_seed(5)
    labels = torch.arange(3).repeat_interleave(torch.tensor(SIZES))
    means = torch.randn(3, 6, generator=generator)
    support = means[labels] + torch.randn(7, 6, generator=generator)
    return support[None], labels[None], torch.randn(1, 12, 6, generator=generator)


def test_prototypes_of_unequal_classes_against_a_loop() -> None:
    support, labels, query = unequal()
    scores = NearestPrototype().fit_labelled(support, labels, 3).predict(query)[0].double()
    for m in range(12):
        wanted = []
        for w in range(3):
            rows = [support[0, i].double() for i in range(7) if labels[0, i] == w]
            mean = sum(rows) / len(rows)
            wanted.append(-float(((query[0, m].double() - mean) ** 2).sum()))
        expected = torch.tensor(wanted, dtype=torch.float64)
        found, expected = scores[m] - scores[m].mean(), expected - expected.mean()
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_unequal_classes_against_scikit_learn() -> None:
    support, labels, query = unequal()
    x, y, q = support[0].numpy(), labels[0].numpy(), query[0].numpy()
    logistic = SklearnLogistic(C=1.0, tol=1e-8, max_iter=1000).fit(x, y)
    found = LogisticRegression(tolerance=1e-6).fit_labelled(support, labels, 3).predict(query)[0]
    np.testing.assert_allclose(found.softmax(-1).numpy(), logistic.predict_proba(q), atol=1e-3)
    ridge = RidgeClassifier(alpha=1.0).fit(x, y)
    scores = Ridge().fit_labelled(support, labels, 3).predict(query)[0]
    np.testing.assert_allclose(scores.numpy(), ridge.decision_function(q), atol=1e-4)


def test_neighbours_of_unequal_classes_against_a_loop() -> None:
    support, labels, query = unequal()
    predicted = NearestNeighbours(3).fit_labelled(support, labels, 3).predict(query)[0].argmax(-1)
    for m in range(12):
        order = sorted(range(7), key=lambda i: float((support[0, i] - query[0, m]).norm()))
        voters = [int(labels[0, i]) for i in order[:3]]
        best = max(range(3), key=lambda w: (voters.count(w), -voters.index(w) if w in voters else -9))
        assert int(predicted[m]) == best
