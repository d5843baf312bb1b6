"""Features that overlap between classes, and testbeds on them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from fewshot.evaluation.embeddings import Embeddings
from fewshot.sampling.class_table import ClassTable
from fewshot.sampling.testbed import Testbed, draw_testbed

CLASSES, IMAGES = 8, 30


@pytest.fixture(scope="session")
def embeddings() -> Embeddings:
    """240 non-negative vectors of 40 dimensions, hard enough that methods err; rows are shuffled."""
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(CLASSES, 40, generator=generator)
    noise = torch.randn(CLASSES * IMAGES, 40, generator=generator)
    by_image = (means.repeat_interleave(IMAGES, 0) + 2.5 * noise + 1).relu()
    order = torch.randperm(len(by_image), generator=generator)
    return Embeddings(by_image[order], order.numpy())


@pytest.fixture(scope="session")
def draw() -> Callable[..., Testbed]:
    """draw(episodes, ways, shots, queries) -> Testbed over the classes of `embeddings`."""
    numbers = np.arange(CLASSES, dtype=np.int64)
    images = np.arange(CLASSES * IMAGES, dtype=np.int64).reshape(CLASSES, IMAGES)
    names = tuple(f"class {number}" for number in numbers)
    table = ClassTable(numbers, names, images, np.full(CLASSES, IMAGES, dtype=np.int64))

    def draw(episodes: int = 40, ways: int = 5, shots: int = 5, queries: int = 6, seed: int = 0) -> Testbed:
        return draw_testbed(
            table, "test", ways=ways, shots=shots, queries=queries, episodes=episodes, seed=seed
        )

    return draw
