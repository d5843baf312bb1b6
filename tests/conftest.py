"""Fixtures that several rooms share, and which tests one process runs."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from fewshot.cli.verbs import main

DEAR = {"place", "runs", "exported", "wheel"}
"""Fixtures that train, or build something: of several test processes one makes each."""


# Before pytest-xdist reads the groups.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function):
            for name in DEAR.intersection(item.fixturenames):
                made_in = item._fixtureinfo.name2fixturedefs[name][-1].baseid
                item.add_marker(pytest.mark.xdist_group(f"{made_in} {name}"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") is not None and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    """Hydra adds handlers to the root logger; what they print must not reach the next test."""
    handlers, level = list(logging.root.handlers), logging.root.level
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root of data in which glyphs are packed, shared by all test processes; not to be written to."""
    base = tmp_path_factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "packed"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEWSHOT_DATA", str(root))
        assert main(["data", "prepare", "glyphs"]) == 0
    return root


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
