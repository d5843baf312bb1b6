"""Every file of conf/loss builds what it says, with every option at the constructor's default."""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn

from fewshot import losses
from fewshot.config import check_targets, instantiate
from fewshot.errors import InputError
from fewshot.losses import Combined
from fewshot.targets import resolve_target

FOLDER = Path(__file__).resolve().parents[2] / "conf" / "loss"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))

ABLATION_GRID = {
    0: ["cross_entropy"],
    1: ["cross_entropy", "icnn_support"],
    2: ["cross_entropy", "icnn_support", "icnn_query"],
    3: ["icnn_support"],
    4: ["icnn_support", "icnn_query"],
    5: ["cross_entropy", "icnn_support", "icnn_query_prototypes"],
    6: ["icnn_support", "icnn_query_prototypes"],
    7: ["cross_entropy", "icnn_full"],
    8: ["icnn_full"],
    9: ["cross_entropy", "proto_triplet"],
    10: ["proto_triplet"],
    11: ["proto_triplet", "icnn_full"],
    12: ["cross_entropy", "proto_triplet", "icnn_full"],
}
"""The rows of SuSana Distancia's public scripts as `loss.terms` of susana.yaml; 0 is the baseline."""


def config(name: str, *overrides: str) -> DictConfig:
    whole = OmegaConf.create({"seed": 3, "loss": OmegaConf.load(FOLDER / f"{name}.yaml")})
    return OmegaConf.merge(whole, OmegaConf.from_dotlist(list(overrides))).loss


def build(name: str, *overrides: str) -> nn.Module:
    loss: nn.Module = instantiate(config(name, *overrides), offered={"classes": 4, "dim": 6})
    return loss


def nodes(node: Any) -> list[dict[str, Any]]:
    """All mappings with a `_target_`, from the top down."""
    if not isinstance(node, dict):
        return []
    own = [node] if "_target_" in node else []
    return own + [found for value in node.values() for found in nodes(value)]


@pytest.mark.parametrize("name", NAMES)
def test_it_builds_and_gives_a_loss(name: str) -> None:
    check_targets(config(name))
    loss = build(name)
    draw = torch.Generator().manual_seed(0)
    if loss.kind == "episodic":
        value = loss(torch.randn(1, 4, 2, 6, generator=draw), torch.randn(1, 4, 3, 6, generator=draw))
    else:
        value = loss(torch.randn(8, 6, generator=draw), torch.arange(8) % 4)
    assert value.shape == ()
    assert value.isfinite()


@pytest.mark.parametrize("name", NAMES)
def test_every_option_is_there_at_its_default(name: str) -> None:
    from_recipe = {"classes", "dim"}
    for node in nodes(OmegaConf.to_container(config(name), resolve=True)):
        options = {key: value for key, value in node.items() if key != "_target_"}
        parameters = inspect.signature(resolve_target(node["_target_"], "loss")).parameters
        assert set(options) == set(parameters) - from_recipe
        for key, value in options.items():
            if key == "seed":
                assert value == 3  # the run's
            elif key != "variant" and parameters[key].default is not inspect.Parameter.empty:
                assert value == parameters[key].default


FUNCTIONS = {
    each: function
    for each in (getattr(losses, name) for name in losses.__all__)
    if isinstance(each, type)
    for name, function in vars(import_module(each.__module__)).items()
    if inspect.isfunction(function) and name.replace("_", "") == each.__name__.lower()
}
"""The losses that are a function beside their module."""


@pytest.mark.parametrize("module", FUNCTIONS)
def test_a_function_has_the_defaults_of_its_module(module: type) -> None:
    of_module = inspect.signature(module).parameters
    for name, parameter in inspect.signature(FUNCTIONS[module]).parameters.items():
        if name in of_module and parameter.default is not inspect.Parameter.empty:
            assert parameter.default == of_module[name].default, name


def test_functions_are_found() -> None:
    assert {"triplet", "arcface", "nca", "nt_xent", "supcon"} <= {f.__name__ for f in FUNCTIONS.values()}


@pytest.mark.parametrize("name", NAMES)
def test_it_names_its_paper_first(name: str) -> None:
    first = (FOLDER / f"{name}.yaml").read_text().splitlines()[0]
    assert first.startswith("# ")
    assert "arXiv" in first


@pytest.mark.parametrize("row", ABLATION_GRID)
def test_the_ablation_grid(row: int) -> None:
    terms = ABLATION_GRID[row]
    loss = build("susana", f"loss.terms=[{','.join(terms)}]")
    assert isinstance(loss, Combined)
    images = torch.randn(1, 5, 4, 6, generator=torch.Generator().manual_seed(0))
    found = loss.named_terms(images[:, :, :1], images[:, :, 1:])
    assert list(found) == terms
    assert len({value.item() for value in found.values()}) == len(terms)
    for term, value in found.items():
        if term.startswith("icnn_"):
            assert loss.losses[term].variant == term.removeprefix("icnn_")
        assert value.isfinite()


def test_options_of_a_term_reach_it() -> None:
    loss = build("susana", "loss.terms=[icnn_full]", "loss.available.icnn_full.k=7")
    assert loss.losses["icnn_full"].k == 7


@pytest.mark.parametrize(
    ("name", "override", "message"),
    [
        ("susana", "loss.terms=[icnn_ful]", "did you mean 'icnn_full'"),
        ("susana", "loss.terms=[]", "empty"),
        ("icnn", "loss.variant=ful", "loss.variant: expected one of full, support, query, query_prototypes"),
        ("icnn", "loss.kk=3", "did you mean 'k'"),
        ("icnn", "loss.k=five", "loss.k: expected int"),
    ],
)
def test_mistakes_are_one_line(name: str, override: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        build(name, override)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
