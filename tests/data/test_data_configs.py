"""The YAML of a data set says what its class does by itself, so that Python and the command line agree."""

from __future__ import annotations

import dataclasses
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from fewshot.config import instantiate

FOLDER = Path(__file__).resolve().parents[2] / "conf" / "data"


NAMES = sorted(file.stem for file in FOLDER.glob("*.yaml"))
DRAWN = {"resize", "fit", "path"}
"""Fields of every source that glyphs, which has no files, does not offer."""
SPLITS = {
    "cars": ("ours", "retrieval"),
    "cifar10": ("all", "all"),
    "cifar100": ("all", "retrieval"),
    "cifar_fs": ("bertinetto", "bertinetto"),
    "cub": ("closerlook", "retrieval"),
    "dogs": ("ours", "retrieval"),
    "fc100": ("oreshkin", "oreshkin"),
    "folder": ("auto", "auto"),
    "glyphs": ("scripts", "scripts"),
    "imagenet32": ("all", "all"),
    "inshop": ("retrieval", "retrieval"),
    "learn2learn": ("ravi", "ravi"),
    "miniimagenet": ("ravi", "ravi"),
    "omniglot": ("vinyals", "vinyals"),
    "sop": ("retrieval", "retrieval"),
    "tieredimagenet": ("ren", "ren"),
}
"""What `split: null` means for few_shot and for retrieval."""


@pytest.mark.parametrize("name", NAMES)
def test_yaml_and_class_have_the_same_fields_and_defaults(name: str) -> None:
    fields: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    module, kind = fields.pop("_target_").rsplit(".", 1)
    made = getattr(import_module(module), kind)
    source = made(**fields)
    assert source.name == name
    assert source == made()
    offered = {field.name for field in dataclasses.fields(source)} - {"protocol"}
    assert set(fields) == (offered - DRAWN if name == "glyphs" else offered)


@pytest.mark.parametrize("name", SPLITS)
def test_null_is_the_usual_split_of_the_recipes_protocol(name: str) -> None:
    node = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    assert node["split"] is None
    few_shot, retrieval = SPLITS[name]
    assert instantiate(node).split == few_shot
    assert instantiate(node, offered={"protocol": "few_shot"}).split == few_shot
    assert instantiate(node, offered={"protocol": "retrieval"}).split == retrieval
    given = instantiate(node | {"split": few_shot}, offered={"protocol": "retrieval"})
    assert given.split == few_shot and given == instantiate(node)


def test_the_yaml_says_what_null_means() -> None:
    for name in NAMES:
        text = (FOLDER / f"{name}.yaml").read_text()
        line = next(line for line in text.splitlines() if "split:" in line)
        assert line.split("#")[1].strip().startswith(f"null: {instantiate(yaml.safe_load(text)).split}")
