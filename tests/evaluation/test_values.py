"""Classifiers and results are values: nothing changes them, and none is compared array by array."""

from __future__ import annotations

import dataclasses
import inspect
import pkgutil
from importlib import import_module

import pytest

import fewshot.evaluation
from fewshot.evaluation.classifiers.classifier import RowGather

MODULES = [
    import_module(found.name)
    for found in pkgutil.walk_packages(fewshot.evaluation.__path__, "fewshot.evaluation.")
]
CLASSES = [
    each
    for module in MODULES
    for each in vars(module).values()
    if inspect.isclass(each) and each.__module__ == module.__name__
]
VALUES = [each for each in CLASSES if dataclasses.is_dataclass(each) and each is not RowGather]
CLASSIFIERS = [each for each in CLASSES if "block_bytes" in vars(each)]


@pytest.mark.parametrize("value", VALUES)
def test_nothing_changes_it(value: type) -> None:
    assert value.__dataclass_params__.frozen  # type: ignore[attr-defined]


@pytest.mark.parametrize("value", VALUES)
def test_arrays_are_not_compared(value: type) -> None:
    """`==` of arrays has no truth value, and what defines it without a hash of arrays has no hash."""
    types = [str(field.type) for field in dataclasses.fields(value)]
    if any(array in each for each in types for array in ("Tensor", "NDArray")):
        assert value.__eq__ is object.__eq__ and value.__hash__ is object.__hash__


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_a_block_is_some_megabytes(classifier: type) -> None:
    assert 2 << 20 <= classifier.block_bytes <= 64 << 20  # type: ignore[attr-defined]


def test_transductive_ones_say_so() -> None:
    inductive = {each.__name__ for each in CLASSIFIERS if getattr(each, "transductive", None) is False}
    assert inductive == {"LogisticRegression", "NearestNeighbours", "NearestPrototype", "Ridge"}


def test_classes_are_found() -> None:
    assert len(VALUES) > 30 and len(CLASSIFIERS) > 8
