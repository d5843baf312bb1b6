"""Each measure on a hand-made matrix, worked out on paper."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fewshot.continual.accuracy_matrix import AccuracyMatrix, read_matrices, write_matrices
from fewshot.continual.measures import (
    average_incremental,
    backward_transfer,
    final_average,
    forgetting,
    forward_transfer,
    learning_accuracy,
    measures,
    sessions,
)
from fewshot.errors import InputError

NAN = float("nan")
# Task 0 falls and recovers, task 1 falls, task 2 gains, task 3 is new.
A = np.array(
    [
        [0.90, 0.30, NAN, NAN],
        [0.50, 0.80, 0.10, NAN],
        [0.70, 0.60, 0.40, 0.20],
        [0.60, 0.50, 0.50, 0.80],
    ]
)
IMAGES = np.array([10, 10, 10, 10])
UNEQUAL = np.array([10, 20, 30, 40])


def matrix(a: np.ndarray = A, images: np.ndarray = IMAGES) -> AccuracyMatrix:
    return AccuracyMatrix(a, images, tuple("1234"[: len(a)]))


def test_final_average() -> None:
    assert final_average(A) == pytest.approx((0.6 + 0.5 + 0.5 + 0.8) / 4)
    assert final_average(A, UNEQUAL) == pytest.approx((6 + 10 + 15 + 32) / 100)


def test_average_incremental() -> None:
    assert average_incremental(A) == pytest.approx((0.9 + 0.65 + (0.7 + 0.6 + 0.4) / 3 + 0.6) / 4)
    weighted = (0.9 + (5 + 16) / 30 + (7 + 12 + 12) / 60 + 0.63) / 4
    assert average_incremental(A, UNEQUAL) == pytest.approx(weighted)


def test_forgetting_counts_from_the_best_so_far() -> None:
    assert forgetting(A) == pytest.approx(((0.9 - 0.6) + (0.8 - 0.5) + (0.4 - 0.5)) / 3)
    # What is written above the diagonal, the accuracy before a task was learned, is never the best.
    assert forgetting(np.where(np.isnan(A) | (A == 0.3), 1.0, A)) == pytest.approx(forgetting(A))
    # The last row is no candidate for the best: a task that only gains has a negative forgetting.
    assert forgetting(np.array([[0.2, NAN], [0.7, 0.9]])) == pytest.approx(-0.5)


def test_backward_and_forward_transfer_and_learning_accuracy() -> None:
    assert backward_transfer(A) == pytest.approx(((0.6 - 0.9) + (0.5 - 0.8) + (0.5 - 0.4)) / 3)
    untrained = np.array([NAN, 0.2, 0.2, 0.1])
    assert forward_transfer(A, untrained) == pytest.approx((0.1 - 0.1 + 0.1) / 3)
    assert np.isnan(forward_transfer(A, np.full(4, NAN)))
    assert learning_accuracy(A) == pytest.approx((0.9 + 0.8 + 0.4 + 0.8) / 4)


def test_one_task_has_no_transfer() -> None:
    found = measures(matrix(np.array([[0.7]]), np.array([5])))
    assert found["final_average"] == found["average_incremental"] == found["learning_accuracy"] == 0.7
    assert np.isnan(found["forgetting"]) and np.isnan(found["backward_transfer"])
    assert np.isnan(forward_transfer(np.array([[0.7]]), np.array([NAN])))


def test_the_means_by_images_are_given_where_they_differ() -> None:
    assert "final_average_by_images" not in measures(matrix())
    found = measures(matrix(images=UNEQUAL))
    assert found["final_average_by_images"] == pytest.approx(0.63)


def test_an_unfinished_stream_has_no_measures() -> None:
    a = A.copy()
    a[3] = NAN
    with pytest.raises(InputError, match="task 4 was not learned yet"):
        measures(matrix(a))


def test_sessions_are_means_over_images() -> None:
    found = sessions(A, UNEQUAL)
    assert found.base == pytest.approx(A[:, 0])
    assert found.all == pytest.approx([0.9, 21 / 30, 31 / 60, 0.63])
    assert found.new[1:] == pytest.approx([0.8, (12 + 12) / 50, (10 + 15 + 32) / 90])
    base, new = 0.6, (10 + 15 + 32) / 90
    assert found.harmonic_mean[3] == pytest.approx(2 * base * new / (base + new))
    assert np.isnan(found.new[0]) and np.isnan(found.harmonic_mean[0])
    nothing = sessions(np.array([[0.5, NAN], [0.0, 0.0]]), np.array([3, 3]))
    assert nothing.harmonic_mean[1] == 0


def test_matrices_are_read_as_they_were_written(tmp_path: Path) -> None:
    til, cil = matrix(), matrix(np.where(np.tri(4, dtype=bool), A / 3, NAN), IMAGES)
    write_matrices(tmp_path, {"task_incremental": til, "class_incremental": cil})
    back = read_matrices(tmp_path)
    for kind, written in (("task_incremental", til), ("class_incremental", cil)):
        assert np.array_equal(back[kind].accuracy, written.accuracy, equal_nan=True)
        assert back[kind].names == written.names and (back[kind].images == written.images).all()
    lines = (tmp_path / "accuracy_class_incremental.csv").read_text().splitlines()
    assert lines[0] == "after task,1,2,3,4" and lines[1] == f"1,{0.9 / 3!r},,,"


@pytest.mark.parametrize("text", [None, "{", '{"tasks": ["1"], "images": [3], "task_incremental": [[1, 2]]}'])
def test_damaged_matrices_are_one_clear_line(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "accuracy.json").write_text(text)
    with pytest.raises(InputError, match=r"no task was learned yet|damaged") as caught:
        read_matrices(tmp_path)
    assert "\n" not in str(caught.value)


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match="4 tasks need"):
        AccuracyMatrix(A[:2], IMAGES, tuple("1234"))
