"""Some images of some classes, evenly through both."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fewshot.data.image_set import ImageSet
from fewshot.evaluation.embeddings import Embeddings
from fewshot.evaluation.evaluated_images import EvaluatedImages, evenly


@pytest.mark.parametrize(
    ("total", "most", "places"),
    [
        (10, 5, [0, 2, 4, 6, 8]),
        (7, 3, [0, 2, 4]),
        (3, 7, [0, 1, 2]),
        (8, 1, [0]),
        (2, 2, [0, 1]),
        (0, 3, []),
    ],
)
def test_places_at_equal_distances(total: int, most: int, places: list[int]) -> None:
    assert evenly(total, most).tolist() == places


def evaluated(labels: list[int]) -> EvaluatedImages:
    """Images are embedded from the last to the first."""
    names = tuple(f"class {number}" for number in range(max(labels) + 1))
    image_set = ImageSet(torch.zeros(len(labels), 1, 1, 1, dtype=torch.uint8), torch.tensor(labels), names)
    order = np.arange(len(labels), dtype=np.int64)[::-1].copy()
    return EvaluatedImages("some", image_set, Embeddings(torch.zeros(len(labels), 2), order))


def test_classes_with_two_images_come_before_those_with_one() -> None:
    made = evaluated([0, 1, 1, 2, 3, 3, 3, 4, 4, 4, 4])
    assert made.labels.tolist() == [4, 4, 4, 4, 3, 3, 3, 2, 1, 1, 0]
    assert made.class_name(3) == "class 3"
    assert made.spread(9, 9).tolist() == [8, 9, 4, 5, 6, 0, 1, 2, 3]
    assert made.spread(2, 2).tolist() == [8, 9, 4, 5]
    assert made.spread(9, 2).tolist() == [8, 9, 4, 5, 0, 2]


def test_where_every_class_has_one_image_all_are_taken() -> None:
    assert evaluated([2, 0, 1]).spread(9, 9).tolist() == [1, 0, 2]
