"""Scoring general episodes together is scoring each by itself; padding and grouping change nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from fewshot.evaluation.accuracy import evaluate
from fewshot.evaluation.auroc import auroc
from fewshot.evaluation.classifiers.cl2n import CL2N
from fewshot.evaluation.classifiers.classifier import Classifier
from fewshot.evaluation.classifiers.logistic_regression import LogisticRegression
from fewshot.evaluation.classifiers.nearest_prototype import NearestPrototype
from fewshot.evaluation.classifiers.optimal_transport import OptimalTransport
from fewshot.evaluation.classifiers.power_transform import PowerTransform
from fewshot.evaluation.classifiers.tim import TIM
from fewshot.evaluation.embeddings import Embeddings
from fewshot.evaluation.general_accuracy import REJECTION, evaluate_general
from fewshot.evaluation.scored_episodes import parts_of_one_shape
from fewshot.sampling.class_table import ClassTable
from fewshot.sampling.dirichlet_queries import DirichletQueries
from fewshot.sampling.episode_kind import EpisodeKind, Task
from fewshot.sampling.general_episodes import OUTSIDE, PADDING, GeneralEpisodes
from fewshot.sampling.general_testbed import draw_general_testbed, general_form
from fewshot.sampling.imbalanced_support import ImbalancedSupport
from fewshot.sampling.open_set import OpenSet
from fewshot.sampling.variable_episodes import VariableEpisodes

MEAN = torch.full((40,), 0.8)
CLASSIFIERS: dict[str, Classifier] = {
    "prototype": NearestPrototype(),
    "cl2n": CL2N(NearestPrototype(), MEAN),
    "logistic": LogisticRegression(),
    "tim": CL2N(TIM(steps=20), MEAN),
    "pt_map": PowerTransform(OptimalTransport()),
}
KINDS: dict[str, EpisodeKind] = {
    "variable": VariableEpisodes(),
    "imbalanced": ImbalancedSupport("random"),
    "dirichlet": DirichletQueries(),
    "open": OpenSet(2),
}


@pytest.fixture(scope="module")
def table() -> ClassTable:
    numbers = np.arange(8, dtype=np.int64)
    images = np.arange(240, dtype=np.int64).reshape(8, 30)
    return ClassTable(numbers, tuple(map(str, numbers)), images, np.full(8, 30, dtype=np.int64))


def episodes_of(table: ClassTable, kind: str, count: int = 12) -> GeneralEpisodes:
    return draw_general_testbed(table, "test", KINDS[kind], Task(4, 4, 5), episodes=count, seed=0).episodes


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_each_episode_is_scored_as_by_itself(
    embeddings: Embeddings, table: ClassTable, name: str, kind: str
) -> None:
    classifier, episodes = CLASSIFIERS[name], episodes_of(table, kind)
    found = evaluate_general(embeddings, episodes, classifier)
    for number, (support, s_labels, query, q_labels, _) in enumerate(zip(*episodes, strict=True)):
        rows = [embeddings.rows_of(images[images >= 0]) for images in (support, query)]
        known, asked = (embeddings.features[torch.from_numpy(row)][None] for row in rows)
        labels = torch.from_numpy(s_labels[s_labels >= 0])[None]
        scores = classifier.fit_labelled(known, labels, int(labels.max()) + 1).predict(asked)[0].double()
        truth = q_labels[q_labels != PADDING]
        assert np.array_equal(
            found.predictions[number][q_labels != PADDING], scores.argmax(dim=-1).numpy()
        ), number
        right = (scores.argmax(dim=-1).numpy() == truth)[truth >= 0]
        assert found.accuracies[number] == pytest.approx(right.mean())
        assert (found.predictions[number][q_labels == PADDING] == PADDING).all()
        if kind == "open":
            kept = scores.softmax(dim=-1).amax(dim=-1).numpy()
            assert found.auroc["probability"][number] == pytest.approx(
                roc_auc_score(truth >= 0, kept), abs=1e-6
            )
            above = (scores.amax(dim=-1) - scores.mean(dim=-1)).numpy()
            assert found.auroc["score"][number] == pytest.approx(roc_auc_score(truth >= 0, above), abs=1e-6)
            if name in ("prototype", "logistic"):
                means = [known[0][labels[0] == way].mean(0) for way in range(int(labels.max()) + 1)]
                near = [-min(float((image - mean).norm()) for mean in means) for image in asked[0]]
                told = roc_auc_score(truth >= 0, near)
                assert found.auroc["distance"][number] == pytest.approx(told, abs=1e-6)
    assert set(found.auroc) == (set(REJECTION) if kind == "open" else set())


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_padding_blocks_and_order_change_nothing(
    embeddings: Embeddings, table: ClassTable, name: str
) -> None:
    classifier, episodes = CLASSIFIERS[name], episodes_of(table, "open")
    plain = evaluate_general(embeddings, episodes, classifier)
    padded = GeneralEpisodes(
        *(np.pad(array, ((0, 0), (3, 2)), constant_values=PADDING) for array in episodes[:4]),
        episodes.classes,
    )
    found = evaluate_general(embeddings, padded, classifier, block=5)
    assert np.array_equal(found.predictions[:, 3:-2], plain.predictions)
    assert (found.predictions[:, :3] == PADDING).all()
    assert np.array_equal(found.accuracies, plain.accuracies)
    for measure in REJECTION:
        assert np.allclose(found.auroc[measure], plain.auroc[measure], atol=1e-12)
    turned = GeneralEpisodes(*(array[::-1].copy() for array in episodes))
    assert np.array_equal(
        evaluate_general(embeddings, turned, classifier).predictions[::-1], plain.predictions
    )


@pytest.mark.parametrize(("spare", "largest"), [(0, 5), (-1, 4)])
def test_a_part_is_as_many_episodes_of_one_shape_as_fit(
    embeddings: Embeddings, table: ClassTable, monkeypatch: pytest.MonkeyPatch, spare: int, largest: int
) -> None:
    episodes = episodes_of(table, "open")
    each = (4 * 4 + (4 + 2) * 5) * 40 * 4  # bytes of the embeddings of an episode
    monkeypatch.setattr(NearestPrototype, "block_bytes", 5 * each + spare)
    parts = parts_of_one_shape(embeddings, episodes, NearestPrototype())
    assert np.concatenate(parts).tolist() == list(range(12))
    assert [len(part) for part in parts][:2] == [largest] * 2
    monkeypatch.setattr(NearestPrototype, "block_bytes", 1)
    assert len(parts_of_one_shape(embeddings, episodes, NearestPrototype())) == 12


@pytest.mark.parametrize("most", [2, 3, 4, 5])
def test_episodes_of_as_many_ways_are_one_part(embeddings: Embeddings, table: ClassTable, most: int) -> None:
    kind, task = VariableEpisodes(min_ways=2, min_shots=3), Task(most, 3, 2)
    episodes = draw_general_testbed(table, "test", kind, task, episodes=40, seed=0).episodes
    parts = parts_of_one_shape(embeddings, episodes, NearestPrototype())
    assert [set(episodes.ways[part].tolist()) for part in parts] == [{ways} for ways in range(2, most + 1)]
    assert sorted(np.concatenate(parts).tolist()) == list(range(40))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_balanced_episodes_in_the_general_form_have_the_balanced_result(
    embeddings: Embeddings, draw: object, name: str
) -> None:
    testbed = draw(episodes=20, ways=4, shots=3, queries=5)  # type: ignore[operator]
    general = evaluate_general(embeddings, general_form(testbed, 3), CLASSIFIERS[name])
    balanced = evaluate(embeddings, testbed, CLASSIFIERS[name])
    assert np.array_equal(general.predictions.reshape(20, 4, 5), balanced.predictions)
    assert np.allclose(general.accuracies, balanced.accuracies)
    assert general.per_class() == pytest.approx(balanced.per_class())


def test_a_query_outside_counts_for_no_accuracy(embeddings: Embeddings, table: ClassTable) -> None:
    found = evaluate_general(embeddings, episodes_of(table, "open"), NearestPrototype())
    assert (found.known.sum(axis=1) == 4 * 5).all()
    assert (found.labels == OUTSIDE).sum() == 12 * 2 * 5


def test_auroc_counts_pairs() -> None:
    draw = torch.Generator().manual_seed(0)
    scores = torch.randint(0, 6, (9, 30), generator=draw).float()
    kinds = torch.randint(0, 3, (9, 30), generator=draw)
    found = auroc(scores, kinds == 0, kinds == 1)
    for row in range(9):
        high, low = scores[row][kinds[row] == 0].tolist(), scores[row][kinds[row] == 1].tolist()
        wins = sum((a > b) + 0.5 * (a == b) for a in high for b in low)
        assert found[row].item() == pytest.approx(wins / (len(high) * len(low)))
        counted = kinds[row] < 2
        told = roc_auc_score((kinds[row] == 0)[counted], scores[row][counted])
        assert found[row].item() == pytest.approx(told)


def test_auroc_of_the_extremes() -> None:
    scores = torch.tensor(
        [[1.0, 2.0, 3.0, 4.0], [1.0, 1.0, 1.0, 1.0], [-torch.inf, 0.0, torch.inf, torch.inf]]
    )
    positive = torch.tensor([False, False, True, True]).expand(3, -1)
    assert auroc(scores, positive, ~positive).tolist() == [1.0, 0.5, 1.0]
    assert auroc(-scores, positive, ~positive).tolist() == [0.0, 0.5, 0.0]
    nobody = torch.zeros_like(positive)
    assert auroc(scores, positive, nobody).isnan().all()
    with pytest.raises(ValueError, match="nan"):
        auroc(scores * float("nan"), positive, ~positive)


def test_distances_are_of_the_space_of_the_classifier(embeddings: Embeddings, table: ClassTable) -> None:
    classifier, episodes = PowerTransform(OptimalTransport()), episodes_of(table, "open", count=2)
    found = evaluate_general(embeddings, episodes, classifier)
    moved = Embeddings(classifier.transform(embeddings.features), embeddings.images)
    plain = evaluate_general(moved, episodes, NearestPrototype())
    raw = evaluate_general(embeddings, episodes, NearestPrototype())
    assert np.array_equal(found.auroc["distance"], plain.auroc["distance"])
    assert not np.array_equal(raw.auroc["distance"], plain.auroc["distance"])
