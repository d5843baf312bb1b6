"""Fixtures that several rooms share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") is not None and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images that tests and result tables use; it is not part of the project.

    Its place: $FEWSHOT_TEST_DATA, or `../shared/data` beside the checkout.
    """
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("FEWSHOT_TEST_DATA", beside))
    if not (folder / "mosaic.py").is_file():
        pytest.skip(f"real images are not at {folder}; set FEWSHOT_TEST_DATA to their folder")
    return folder
