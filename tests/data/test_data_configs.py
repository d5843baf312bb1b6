"""The YAML of a data set says what its class does by itself, so that Python and the command line agree."""

from __future__ import annotations

import dataclasses
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = Path(__file__).resolve().parents[2] / "conf" / "data"


@pytest.mark.parametrize(
    "name", ["omniglot", "miniimagenet", "tieredimagenet", "cifar_fs", "fc100", "cifar100"]
)
def test_yaml_and_class_have_the_same_fields_and_defaults(name: str) -> None:
    fields: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    module, kind = fields.pop("_target_").rsplit(".", 1)
    made = getattr(import_module(module), kind)
    source = made(**fields)
    assert source.name == name
    assert source == made()
    assert set(fields) == {field.name for field in dataclasses.fields(source)}
