from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from fewshot.errors import InputError
from fewshot.evaluation.accuracy import FewShotAccuracy, evaluate, shot_curve
from fewshot.evaluation.classifiers.cl2n import CL2N
from fewshot.evaluation.classifiers.classifier import Classifier
from fewshot.evaluation.classifiers.logistic_regression import LogisticRegression
from fewshot.evaluation.classifiers.nearest_neighbours import NearestNeighbours
from fewshot.evaluation.classifiers.nearest_prototype import NearestPrototype
from fewshot.evaluation.classifiers.optimal_transport import OptimalTransport
from fewshot.evaluation.classifiers.power_transform import PowerTransform
from fewshot.evaluation.classifiers.ridge import Ridge
from fewshot.evaluation.classifiers.soft_kmeans import SoftKMeans
from fewshot.evaluation.embeddings import Embeddings
from fewshot.evaluation.result_files import read_result, save_result
from fewshot.sampling.testbed import Testbed

Draw = Callable[..., Testbed]
NAMES = [f"class {number}" for number in range(8)]
ALL: list[Classifier] = [
    NearestPrototype(),
    NearestPrototype("cosine"),
    NearestPrototype(precision="bf16"),
    LogisticRegression(),
    Ridge(),
    NearestNeighbours(3),
    CL2N(NearestPrototype(), torch.full((40,), 0.7)),
    SoftKMeans(),
    PowerTransform(OptimalTransport(steps=2)),
]


def naive(embeddings: Embeddings, testbed: Testbed, shots: int) -> np.ndarray:
    """Predictions [episodes, ways, queries] of nearest prototypes, query by query in float64."""
    row = {int(image): i for i, image in enumerate(embeddings.images)}
    made = np.zeros((len(testbed), testbed.ways, testbed.queries), dtype=np.int64)
    for e, episode in enumerate(testbed.images):
        vectors = [[embeddings.features[row[int(i)]].double().numpy() for i in way] for way in episode]
        prototypes = [np.mean(way[:shots], axis=0) for way in vectors]
        for w, way in enumerate(vectors):
            for q, vector in enumerate(way[testbed.shots :]):
                made[e, w, q] = np.argmin([np.sum((vector - p) ** 2) for p in prototypes])
    return made


def test_equals_a_loop_over_queries(embeddings: Embeddings, draw: Draw) -> None:
    testbed = draw()
    expected = naive(embeddings, testbed, 5)
    result = evaluate(embeddings, testbed, NearestPrototype())
    np.testing.assert_array_equal(result.predictions, expected)
    right = expected == np.arange(5)[:, None]
    assert 0.3 < right.mean() < 0.95
    np.testing.assert_allclose(result.accuracies, [episode.mean() for episode in right])
    assert result.interval.half_width == pytest.approx(1.96 * np.std(result.accuracies, ddof=1) / np.sqrt(40))


@pytest.mark.parametrize("similarity", ["euclidean", "cosine"])
def test_prototypes_of_rows_equal_those_of_gathered_supports(
    embeddings: Embeddings, draw: Draw, similarity: str
) -> None:
    """The path over the table against the plain one, for every number of shots."""
    testbed = draw(shots=3)
    features = embeddings.features
    rows = torch.from_numpy(embeddings.rows_of(testbed.images))
    support, query = rows[:, :, :3], rows[:, :, 3:].flatten(1, 2)
    classifier = NearestPrototype(similarity)  # type: ignore[arg-type]
    fast = classifier.on(features).curve(support, query, [1, 3])
    for shots, scores in zip((1, 3), fast, strict=True):
        plain = classifier.fit(features[support[:, :, :shots]].double()).predict(features[query].double())
        torch.testing.assert_close(scores.double(), plain, rtol=1e-5, atol=1e-4)


def test_a_large_common_mean_costs_no_digits(embeddings: Embeddings, draw: Draw) -> None:
    moved = Embeddings(embeddings.features + 300.0, embeddings.images)
    before, after = (evaluate(made, draw(), NearestPrototype()).predictions for made in (embeddings, moved))
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("similarity", ["euclidean", "cosine"])
def test_half_precision_predicts_as_float32_but_for_near_ties(
    embeddings: Embeddings, draw: Draw, similarity: str
) -> None:
    testbed = draw(episodes=400)
    for offset in (0.0, 50.0):
        moved = Embeddings(embeddings.features + offset * (similarity == "euclidean"), embeddings.images)
        single, half = (
            evaluate(moved, testbed, NearestPrototype(similarity, precision))  # type: ignore[arg-type]
            for precision in ("float32", "bf16")
        )
        assert 0 < (single.predictions != half.predictions).mean() < 0.02
        assert abs(single.interval.mean - half.interval.mean) < 0.003


def test_an_unknown_precision_is_named() -> None:
    with pytest.raises(InputError, match=r"classifier.precision='half' must be one of float32, bf16"):
        NearestPrototype(precision="half")  # type: ignore[arg-type]


def test_per_class_accuracy_and_confusion_against_loops(embeddings: Embeddings, draw: Draw) -> None:
    testbed = draw()
    result = evaluate(embeddings, testbed, NearestPrototype())
    counts = np.zeros((8, 8), dtype=np.int64)
    for e in range(40):
        for w in range(5):
            for q in range(6):
                counts[testbed.classes[e, w], testbed.classes[e, result.predictions[e, w, q]]] += 1
    numbers, confusion = result.confusion()
    np.testing.assert_array_equal(numbers, np.arange(8))
    np.testing.assert_array_equal(confusion, counts)
    expected = {c: counts[c, c] / counts[c].sum() for c in range(8)}
    assert result.per_class() == pytest.approx(expected)


def test_confusion_where_the_last_class_is_never_recognised() -> None:
    found = FewShotAccuracy(1, np.array([[[0, 1], [0, 0]]], dtype=np.int16), np.array([[3, 9]]))
    numbers, counts = found.confusion()
    assert numbers.tolist() == [3, 9] and counts.tolist() == [[1, 1], [2, 0]]


@pytest.mark.parametrize(("spare", "largest"), [(0, 7), (-1, 6)])
def test_a_block_is_as_many_episodes_as_fit(
    embeddings: Embeddings, draw: Draw, monkeypatch: pytest.MonkeyPatch, spare: int, largest: int
) -> None:
    each = 5 * (5 + 6) * 40 * 4  # bytes of the embeddings of an episode
    monkeypatch.setattr(NearestPrototype, "block_bytes", 7 * each + spare)
    seen: list[int] = []
    evaluate(embeddings, draw(), NearestPrototype(), progress=seen.append)
    assert sum(seen) == 40 and max(seen) == seen[0] == largest
    monkeypatch.setattr(NearestPrototype, "block_bytes", 1)
    evaluate(embeddings, draw(episodes=3), NearestPrototype(), progress=seen.append)
    assert seen[-3:] == [1, 1, 1]


@pytest.mark.parametrize("classifier", ALL, ids=lambda c: type(c).__name__)
def test_blocks_change_nothing(embeddings: Embeddings, draw: Draw, classifier: Classifier) -> None:
    testbed = draw()
    whole = evaluate(embeddings, testbed, classifier).predictions
    for block in (1, 7, 40, 1000):
        np.testing.assert_array_equal(
            evaluate(embeddings, testbed, classifier, block=block).predictions, whole
        )


@pytest.mark.parametrize("classifier", ALL, ids=lambda c: type(c).__name__)
def test_order_of_episodes_changes_nothing(
    embeddings: Embeddings, draw: Draw, classifier: Classifier
) -> None:
    testbed = draw()
    order = np.random.default_rng(0).permutation(40)
    moved = dataclasses.replace(testbed, images=testbed.images[order], classes=testbed.classes[order])
    before, after = (evaluate(embeddings, bed, classifier, block=16) for bed in (testbed, moved))
    np.testing.assert_array_equal(after.predictions, before.predictions[order])
    assert after.per_class() == pytest.approx(before.per_class())


@pytest.mark.parametrize("classifier", ALL, ids=lambda c: type(c).__name__)
def test_shot_curve_equals_separate_evaluations(
    embeddings: Embeddings, draw: Draw, classifier: Classifier
) -> None:
    testbed = draw()
    curve = shot_curve(embeddings, testbed, classifier, [1, 3, 5])
    assert list(curve) == [1, 3, 5]
    for shots, result in curve.items():
        fewer = np.concatenate([testbed.images[:, :, :shots], testbed.images[:, :, 5:]], axis=2)
        alone = evaluate(embeddings, dataclasses.replace(testbed, shots=shots, images=fewer), classifier)
        assert result.shots == shots
        np.testing.assert_array_equal(result.predictions, alone.predictions)
    means = [result.interval.mean for result in curve.values()]
    assert means[0] < means[2]


def test_progress_reaches_the_end(embeddings: Embeddings, draw: Draw) -> None:
    seen: list[int] = []
    evaluate(embeddings, draw(), NearestPrototype(), block=16, progress=seen.append)
    assert seen == [16, 16, 8]


@pytest.mark.parametrize("classifier", ALL, ids=lambda c: type(c).__name__)
def test_identical_features_score_chance_or_less(
    embeddings: Embeddings, draw: Draw, classifier: Classifier
) -> None:
    """Ties go to the first way, whatever the truth: a collapsed network must not look good."""
    collapsed = Embeddings(torch.full_like(embeddings.features, 2.0), embeddings.images)
    result = evaluate(collapsed, draw(), classifier)
    if not classifier.transductive:  # whose steps leave rounding that decides, for all queries alike
        np.testing.assert_array_equal(result.predictions, 0)
    np.testing.assert_allclose(result.accuracies, 0.2)


def test_one_way_is_always_right(embeddings: Embeddings, draw: Draw) -> None:
    for classifier in ALL:
        assert evaluate(embeddings, draw(ways=1, shots=1, queries=1), classifier).interval.mean == 1.0


def test_bad_input_is_named(embeddings: Embeddings, draw: Draw) -> None:
    testbed = draw()
    for shots in (0, 6):
        with pytest.raises(InputError, match=f"shots={shots} is not within 1..5"):
            shot_curve(embeddings, testbed, NearestPrototype(), [1, shots])
    with pytest.raises(ValueError, match="is not among the 10 embedded"):
        evaluate(Embeddings(embeddings.features[:10], embeddings.images[:10]), testbed, NearestPrototype())
    for bad in (torch.nan, torch.inf):
        features = embeddings.features.clone()
        features[17, 3] = bad
        with pytest.raises(InputError, match=f"1 of 240 embeddings .* image {embeddings.images[17]}"):
            evaluate(Embeddings(features, embeddings.images), testbed, NearestPrototype())


def test_result_files_come_back(embeddings: Embeddings, draw: Draw, tmp_path: Path) -> None:
    testbed = draw()
    curve = shot_curve(embeddings, testbed, NearestPrototype(), [5, 1])
    details = {"image_size": 28, "weights": Path("best.pt"), "config": {"k": (1, float("nan"))}}
    path = save_result(tmp_path / "evaluation", curve, testbed, NAMES, details)
    saved = read_result(tmp_path / "evaluation")
    np.testing.assert_array_equal(saved.shots, [1, 5])
    for point, shots in enumerate((1, 5)):
        np.testing.assert_array_equal(saved.accuracies[point], curve[shots].accuracies)
        np.testing.assert_array_equal(saved.predictions[point], curve[shots].predictions)
    np.testing.assert_array_equal(saved.classes, testbed.classes)
    summary = json.loads(path.read_text())
    assert summary["accuracy"] == curve[5].interval.mean
    assert summary["interval"] == curve[5].interval.half_width
    assert summary["interval_method"] == "95%, 1.96 * standard deviation / sqrt(n) over episodes"
    assert (summary["episodes"], summary["ways"], summary["shots"], summary["queries"]) == (40, 5, 5, 6)
    assert summary["testbed_sha256"] == testbed.sha256
    assert [point["shots"] for point in summary["curve"]] == [1, 5]
    assert summary["curve"][0]["accuracy"] == curve[1].interval.mean
    assert summary["per_class"]["class 3"] == pytest.approx(curve[5].per_class()[3])
    assert summary["weights"] == "best.pt"
    assert summary["config"] == {"k": [1, None]}
    assert sorted(p.name for p in path.parent.iterdir()) == ["episodes.npz", "result.json"]


def test_one_episode_has_no_interval(embeddings: Embeddings, draw: Draw, tmp_path: Path) -> None:
    testbed = draw(episodes=1)
    curve = shot_curve(embeddings, testbed, NearestPrototype(), [5])
    save_result(tmp_path, curve, testbed, NAMES, {})
    assert read_result(tmp_path).summary["interval"] is None


def test_result_files_are_whole_or_absent(
    embeddings: Embeddings, draw: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    testbed = draw()
    first = shot_curve(embeddings, testbed, NearestPrototype(), [5])
    save_result(tmp_path, first, testbed, NAMES, {})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(InputError, match="No space left on device; free space"):
            save_result(tmp_path, shot_curve(embeddings, testbed, Ridge(), [5]), testbed, NAMES, {})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    with pytest.raises(ValueError, match="'accuracy'"):
        save_result(tmp_path, first, testbed, NAMES, {"accuracy": 1.0})


def test_missing_and_damaged_results_are_named(embeddings: Embeddings, draw: Draw, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no evaluation \(result.json is missing\)"):
        read_result(tmp_path)
    testbed = draw()
    save_result(tmp_path, shot_curve(embeddings, testbed, NearestPrototype(), [5]), testbed, NAMES, {})
    whole = (tmp_path / "episodes.npz").read_bytes()
    (tmp_path / "episodes.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="is damaged"):
        read_result(tmp_path)
    (tmp_path / "episodes.npz").unlink()
    with pytest.raises(InputError, match=r"episodes.npz is missing"):
        read_result(tmp_path)
