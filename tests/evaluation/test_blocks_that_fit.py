"""Where memory ends, blocks are halved, and the result is that of blocks which fit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from fewshot.errors import InputError
from fewshot.evaluation.accuracy import evaluate
from fewshot.evaluation.blocks_that_fit import blocks_that_fit
from fewshot.evaluation.classifiers.classifier import Fitted
from fewshot.evaluation.classifiers.ridge import Ridge
from fewshot.evaluation.embeddings import Embeddings
from fewshot.evaluation.general_accuracy import evaluate_general
from fewshot.sampling.general_testbed import general_form
from fewshot.sampling.testbed import Testbed

OUT = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
    MemoryError(),
]


@pytest.mark.parametrize("error", OUT, ids=lambda error: type(error).__name__)
def test_a_block_too_large_comes_in_parts_and_no_later_one_is_tried_whole(error: Exception) -> None:
    tried = []

    def work(part: slice) -> int:
        tried.append(part.stop - part.start)
        if tried[-1] > 3:
            raise error
        return tried[-1]

    done = list(blocks_that_fit([slice(0, 10), slice(10, 17)], work, "an episode"))
    assert [part for part, _ in done] == [slice(s, e) for s, e in ((0, 2), (2, 4), (4, 6), (6, 8), (8, 10),
                                          (10, 12), (12, 14), (14, 16), (16, 17))]  # fmt: skip
    assert [made for _, made in done] == [2] * 8 + [1]
    assert tried[:2] == [10, 5]


def test_not_even_one_fits() -> None:
    def work(part: slice) -> None:
        raise OUT[0]

    with pytest.raises(InputError, match="an episode does not fit into memory"):
        list(blocks_that_fit([slice(0, 5)], work, "an episode"))


def test_another_error_passes() -> None:
    def work(part: slice) -> None:
        raise RuntimeError("the shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        list(blocks_that_fit([slice(0, 5)], work, "an episode"))


class Cramped(Ridge):
    """Ridge regression where three episodes fit into memory."""

    def fit(self, support: Tensor) -> Fitted:
        if len(support) > 3:
            raise OUT[0]
        return super().fit(support)

    def fit_labelled(self, support: Tensor, labels: Tensor, ways: int) -> Fitted:
        if len(support) > 3:
            raise OUT[0]
        return super().fit_labelled(support, labels, ways)


def test_evaluation_in_smaller_blocks_is_the_same(
    embeddings: Embeddings, draw: Callable[..., Testbed]
) -> None:
    testbed = draw(episodes=20, ways=4, shots=3, queries=5)
    counted: list[int] = []
    cramped = evaluate(embeddings, testbed, Cramped(), block=9, progress=counted.append)
    plain = evaluate(embeddings, testbed, Ridge(), block=9)
    assert np.array_equal(cramped.predictions, plain.predictions)
    assert max(counted) <= 3 and sum(counted) == 20
    general = general_form(testbed, 3)
    found = evaluate_general(embeddings, general, Cramped(), block=9)
    assert np.array_equal(found.predictions, evaluate_general(embeddings, general, Ridge()).predictions)
