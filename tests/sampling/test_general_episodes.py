"""General episodes hold what their kind says, are disjoint, and depend on seed, kind and number alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest

from fewshot.errors import InputError
from fewshot.sampling.class_table import ClassTable
from fewshot.sampling.coarse_episodes import CoarseEpisodes
from fewshot.sampling.dirichlet_queries import DirichletQueries, rounded
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


NEEDED = {
    "variable": 5 + 6,
    "imbalanced linear": 9 + 6,
    "imbalanced step": 9 + 6,
    "imbalanced random": 4 * 5 - 3 + 6,
    "dirichlet": 5 + 6,
    "coarse": 5 + 6,
    "open set": 5 + 6,
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_class_needs_the_images_of_its_largest_share(kind: str) -> None:
    task, made = Task(4, 5, 6), KINDS[kind]()
    assert made.images_of_class(task) == NEEDED[kind]
    for images, enough in ((NEEDED[kind], True), (NEEDED[kind] - 1, False)):
        table = replace(TABLE, images=TABLE.images[:, :images], counts=np.full(CLASSES, images))
        if enough:
            found = draw_general_testbed(table, "test", made, task, episodes=50, seed=0).episodes
            assert set(found.images.tolist()) <= set(table.images.ravel().tolist())
        else:
            with pytest.raises(InputError, match=f"may need {NEEDED[kind]}"):
                draw_general_testbed(table, "test", made, task, episodes=50, seed=0)


@pytest.mark.parametrize(
    ("imbalance", "least", "ways", "shots", "ladder"),
    [
        ("linear", 1, 2, 3, [1, 5]),
        ("linear", 1, 5, 5, [1, 3, 5, 7, 9]),
        ("linear", 2, 6, 9, [2, 5, 8, 10, 13, 16]),
        ("linear", 1, 7, 4, [1, 2, 3, 4, 5, 6, 7]),
        ("step", 1, 4, 5, [1, 1, 9, 9]),
        ("step", 1, 5, 5, [1, 1, 7, 8, 8]),
        ("step", 3, 7, 5, [3, 3, 3, 6, 6, 7, 7]),
        ("step", 2, 3, 4, [2, 5, 5]),
    ],
)
def test_the_ladder_of_imbalanced_supports(
    imbalance: Literal["linear", "step"], least: int, ways: int, shots: int, ladder: list[int]
) -> None:
    made, task = ImbalancedSupport(imbalance, least), Task(ways, shots, 2)
    assert sum(ladder) == ways * shots
    found = draw_general_testbed(TABLE, "test", made, task, episodes=3, seed=0).episodes
    assert counts(found.support_labels, ways).tolist() == [ladder] * 3
    assert made.images_of_class(task) == max(ladder) + 2


@pytest.mark.parametrize("least", [1, 2])
def test_randomly_imbalanced_supports_have_every_size_from_the_least_to_the_most(least: int) -> None:
    made, task = ImbalancedSupport("random", least), Task(3, 4, 2)
    found = draw_general_testbed(TABLE, "test", made, task, episodes=400, seed=0).episodes
    shots = counts(found.support_labels, 3)
    for of_way in shots.T.tolist():
        assert set(of_way) == set(range(least, 3 * 4 - 2 * least + 1))
    assert made.images_of_class(task) == 3 * 4 - 2 * least + 2


def test_variable_episodes_of_other_ranges() -> None:
    found = draw_general_testbed(TABLE, "test", VariableEpisodes(3, 2), Task(5, 4, 2), episodes=200, seed=0)
    assert set(found.episodes.ways.tolist()) == {3, 4, 5}
    shots = counts(found.episodes.support_labels, 5)
    assert set(shots[shots > 0].tolist()) == {2, 3, 4}
    found = draw_general_testbed(TABLE, "test", VariableEpisodes(), Task(5, 4, 2), episodes=800, seed=0)
    assert np.abs(np.bincount(found.episodes.ways)[2:] / 800 - 1 / 4).max() < 0.06
    # One number each is a range, too.
    found = draw_general_testbed(TABLE, "test", VariableEpisodes(3, 2), Task(3, 2, 2), episodes=5, seed=0)
    assert counts(found.episodes.support_labels, 3).tolist() == [[2] * 3] * 5


@pytest.mark.parametrize(
    ("kind", "task", "message"),
    [
        (lambda: VariableEpisodes(min_ways=1), TASK, "min_ways=1 must be at least 2"),
        (lambda: VariableEpisodes(min_shots=0), TASK, "min_shots=0 must be at least 1"),
        (lambda: VariableEpisodes(min_ways=5), TASK, "min_ways=5 is above ways=4"),
        (lambda: VariableEpisodes(min_shots=6), TASK, "min_shots=6 is above shots=5"),
        (lambda: ImbalancedSupport(min_shots=0), TASK, "min_shots=0 must be at least 1"),
        (lambda: ImbalancedSupport(min_shots=5), TASK, "nothing is uneven"),
        (ImbalancedSupport, Task(1, 5, 1), "nothing is uneven"),
        (lambda: DirichletQueries(0), TASK, "alpha=0 must be above 0"),
        (lambda: DirichletQueries(np.inf), TASK, "alpha=inf must be above 0"),
        (lambda: OpenSet(0), TASK, "unknown_ways=0 must be at least 1"),
        (OpenSet, Task(4, 0, 1), "shots=0 for test testbed must be at least 1"),
    ],
)
def test_impossible_kinds_are_one_clear_line(
    kind: Callable[[], EpisodeKind], task: Task, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        draw_general_testbed(TABLE, "test", kind(), task, episodes=1, seed=0)


def test_the_least_values_are_allowed() -> None:
    for kind in (VariableEpisodes(2, 1), ImbalancedSupport(min_shots=1), DirichletQueries(0.1), OpenSet(1)):
        task = Task(2, 2, 1)
        assert len(draw_general_testbed(TABLE, "test", kind, task, episodes=1, seed=0)) == 1


def test_queries_go_one_by_one_to_the_class_that_lacks_most() -> None:
    draw = np.random.default_rng(0)
    for _ in range(50):
        wished = draw.dirichlet([0.5] * 4, size=3) * 20
        most = draw.integers(5, 12, size=(3, 4))
        expected = []
        for row, limits in zip(wished, most, strict=True):
            given = [min(int(value), int(limit)) for value, limit in zip(row, limits, strict=True)]
            while sum(given) < 20:
                lacks = [v - g if g < m else -np.inf for v, g, m in zip(row, given, limits, strict=True)]
                given[int(np.argmax(lacks))] += 1
            expected.append(given)
        assert rounded(wished, most, 20).tolist() == expected


def test_the_images_of_a_testbed_are_those_of_its_episodes() -> None:
    found = drawn("open set", episodes=3)
    images = {*found.episodes.support.ravel().tolist(), *found.episodes.query.ravel().tolist()} - {PADDING}
    assert found.images.tolist() == sorted(images)
    uneven = drawn("variable", episodes=30)
    assert (uneven.episodes.support == PADDING).any() and uneven.images.min() >= 0
    for whole, beginning in zip(uneven.episodes, uneven.episodes.first(2), strict=True):
        assert np.array_equal(beginning, whole[:2])
