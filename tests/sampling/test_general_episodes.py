"""General episodes hold what their kind says, are disjoint, and depend on seed, kind and number alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from fewshot.errors import InputError
from fewshot.sampling.class_table import ClassTable
from fewshot.sampling.coarse_episodes import CoarseEpisodes
from fewshot.sampling.dirichlet_queries import DirichletQueries
from fewshot.sampling.episode_kind import EpisodeKind, Task
from fewshot.sampling.general_episodes import OUTSIDE, PADDING, GeneralEpisodes
from fewshot.sampling.general_testbed import GeneralTestbed, draw_general_testbed, general_form
from fewshot.sampling.imbalanced_support import ImbalancedSupport
from fewshot.sampling.open_set import OpenSet
from fewshot.sampling.testbed import draw_testbed
from fewshot.sampling.variable_episodes import VariableEpisodes

CLASSES, IMAGES = 12, 40
NUMBERS = np.arange(CLASSES, dtype=np.int64) + 100
TABLE = ClassTable(
    NUMBERS,
    tuple(f"class {number}" for number in NUMBERS),
    np.arange(CLASSES * IMAGES, dtype=np.int64).reshape(CLASSES, IMAGES),
    np.full(CLASSES, IMAGES, dtype=np.int64),
    superclasses=tuple("abc"[place // 4] for place in range(CLASSES)),
)
TASK = Task(4, 5, 6)
KINDS: dict[str, Callable[[], EpisodeKind]] = {
    "variable": VariableEpisodes,
    "imbalanced linear": ImbalancedSupport,
    "imbalanced step": lambda: ImbalancedSupport("step"),
    "imbalanced random": lambda: ImbalancedSupport("random"),
    "dirichlet": DirichletQueries,
    "coarse": CoarseEpisodes,
    "open set": lambda: OpenSet(3),
}


def drawn(kind: str, episodes: int = 200, seed: int = 0, task: Task = TASK) -> GeneralTestbed:
    return draw_general_testbed(TABLE, "test", KINDS[kind](), task, episodes=episodes, seed=seed)


def counts(labels: np.ndarray, ways: int) -> np.ndarray:
    """int [episodes, ways], by a plain loop."""
    return np.array([[int((row == way).sum()) for way in range(ways)] for row in labels])


@pytest.mark.parametrize("kind", KINDS)
def test_supports_and_queries_are_distinct_images_of_the_class_they_are_labelled_as(kind: str) -> None:
    found = drawn(kind).episodes
    for support, s_labels, query, q_labels, classes in zip(*found, strict=True):
        assert np.array_equal(support == PADDING, s_labels == PADDING)
        assert np.array_equal(query == PADDING, q_labels == PADDING)
        images = np.concatenate([support[support != PADDING], query[query != PADDING]])
        assert len(set(images.tolist())) == len(images), "an image stands twice in an episode"
        of_class = NUMBERS[images // IMAGES]
        labels = np.concatenate([s_labels[s_labels != PADDING], q_labels[q_labels != PADDING]])
        ways = int(s_labels.max()) + 1
        assert set(s_labels[s_labels != PADDING].tolist()) == set(range(ways))
        assert np.array_equal(of_class[labels >= 0], classes[labels[labels >= 0]])
        assert not set(of_class[labels == OUTSIDE].tolist()) & set(classes.tolist())
        assert (classes[ways:] == PADDING).all() and len(set(classes[:ways].tolist())) == ways


@pytest.mark.parametrize("kind", KINDS)
def test_equal_requests_are_equal_and_a_longer_testbed_begins_with_the_shorter(kind: str) -> None:
    found, again, other = drawn(kind), drawn(kind), drawn(kind, seed=1)
    assert found.sha256 == again.sha256 != other.sha256
    short = drawn(kind, episodes=50).episodes
    for name, array in short._asdict().items():
        longer = getattr(found.episodes, name)[:50]
        assert np.array_equal(array, longer[:, : array.shape[1]])
        assert (longer[:, array.shape[1] :] == PADDING).all()


def test_variable_episodes_have_every_number_of_ways_and_shots() -> None:
    found = drawn("variable").episodes
    assert set(found.ways.tolist()) == {2, 3, 4}
    shots = np.concatenate(
        [counts(row[None], ways)[0] for row, ways in zip(found.support_labels, found.ways, strict=True)]
    )
    assert set(shots.tolist()) == {1, 2, 3, 4, 5}
    queries = [counts(row[None], w)[0] for row, w in zip(found.query_labels, found.ways, strict=True)]
    assert all((each == TASK.queries).all() for each in queries)


@pytest.mark.parametrize("kind", ["linear", "step", "random"])
def test_imbalanced_supports_have_the_sum_of_balanced_ones(kind: str) -> None:
    found = drawn(f"imbalanced {kind}").episodes
    shots = counts(found.support_labels, TASK.ways)
    assert (shots.sum(axis=1) == TASK.ways * TASK.shots).all() and shots.min() == 1
    assert (counts(found.query_labels, TASK.ways) == TASK.queries).all()
    made = {tuple(sorted(row)) for row in shots.tolist()}
    if kind == "linear":
        assert made == {(1, 4, 6, 9)} or made == {(1, 3, 7, 9)}
    elif kind == "step":
        assert made == {(1, 1, 9, 9)}
    else:
        assert len(made) > 20
        # Of all divisions each is as likely: the mean of a place is that of balanced ones.
        assert abs(shots[:, 0].mean() - TASK.shots) < 0.8


def test_dirichlet_queries_are_uneven_and_as_many_in_all() -> None:
    found = drawn("dirichlet").episodes
    queries = counts(found.query_labels, TASK.ways)
    assert (queries.sum(axis=1) == TASK.ways * TASK.queries).all()
    assert (counts(found.support_labels, TASK.ways) == TASK.shots).all()
    shares = queries / queries.sum(axis=1, keepdims=True)
    # Var of a share under Dirichlet(2, 2, 2, 2) is (1/4)(3/4)/9; multinomial noise adds a little.
    assert 0.8 < shares.var() / (3 / 16 / 9) < 2.2


def test_coarse_episodes_are_of_one_superclass() -> None:
    found = drawn("coarse").episodes
    superclasses = {frozenset(TABLE.superclasses[c - 100] for c in row) for row in found.classes.tolist()}
    assert superclasses == {frozenset("a"), frozenset("b"), frozenset("c")}
    with pytest.raises(InputError, match="ways=5"):
        drawn("coarse", task=Task(5, 1, 1))


def test_open_set_queries_are_of_other_classes() -> None:
    found = drawn("open set").episodes
    assert ((found.query_labels == OUTSIDE).sum(axis=1) == 3 * TASK.queries).all()
    assert (counts(found.query_labels, TASK.ways) == TASK.queries).all()
    with pytest.raises(InputError, match="needs 13 classes, and there are 12"):
        drawn("open set", task=Task(10, 1, 1))


def test_too_few_images_are_named() -> None:
    with pytest.raises(InputError, match="class 'class 100' has 40 images"):
        drawn("open set", task=Task(2, 30, 11))


def test_the_general_form_of_balanced_episodes_is_the_same_episodes() -> None:
    testbed = draw_testbed(TABLE, "test", ways=4, shots=5, queries=6, episodes=20, seed=0)
    found: GeneralEpisodes = general_form(testbed, 2)
    assert np.array_equal(found.support.reshape(20, 4, 2), testbed.images[:, :, :2])
    assert np.array_equal(found.query.reshape(20, 4, 6), testbed.images[:, :, 5:])
    assert np.array_equal(found.query_labels[3].reshape(4, 6), np.arange(4)[:, None].repeat(6, 1))


def test_balanced_testbeds_are_those_of_the_versions_before() -> None:
    numbers = np.arange(CLASSES, dtype=np.int64)
    table = ClassTable(numbers, tuple(map(str, numbers)), TABLE.images, TABLE.counts)
    one = draw_testbed(table, "test", ways=4, shots=5, queries=6, episodes=20, seed=0)
    other = draw_testbed(table, "test", ways=10, shots=1, queries=15, episodes=300, seed=7)
    assert one.sha256 == "2e572fc81a64903d95c9048655ebda76ec9beed021e3fac490d2d54b0dd3e69d"
    assert other.sha256 == "3478d6cb47275b22122e26c56ab04e4b1ae6676d111462ef9fc9ec2cecb243ba"
