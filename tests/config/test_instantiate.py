"""Nodes become objects: allowed targets only, every mistake one line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from fewshot.config import check_targets, instantiate
from fewshot.errors import InputError
from fewshot.targets import trusting

REFUSED = {
    "os.system": "outside the allowed packages",
    "builtins.eval": "outside the allowed packages",
    "fewshot_evil.Thing": "outside the allowed packages",
    "torch.optimize.Thing": "outside the allowed packages",
    "torch.load": "outside the allowed packages",
    "torchvision.datasets.folder.os.system": "no class or function",
    "torchvision.datasets.folder.Path": "is defined in pathlib",
    "torch.nn.modules.module.warnings.warn": "",
    "fewshot.data.packing.os.remove": "",
    "fewshot.config.OmegaConf": "is defined in omegaconf",
    "fewshot.config": "no class or function",
    "fewshot.errors.InputErro": "there is no 'fewshot.errors.InputErro'; did you mean 'InputError'?",
    "fewshot.nowhere.Thing": "there is no 'fewshot.nowhere'",
    "fewshot..errors": "",
    "": "outside the allowed packages",
    # Allowed packages have functions that write, fetch, unpack or unpickle.
    "fewshot.whole_file.write_whole": "is no part of an experiment",
    "fewshot.training.checkpoint.save": "is no part of an experiment",
    "fewshot.recipes.export.export": "is no part of an experiment",
    "timm.models.load_state_dict": "is no part of an experiment",
    "timm.create_model": "is no part of an experiment",
    "torchvision.datasets.utils.download_and_extract_archive": "is no part of an experiment",
    "torchvision.datasets.MNIST": "is no part of an experiment",
}


def node(**values: Any) -> Any:
    return OmegaConf.create({"part": values}).part


@pytest.mark.parametrize("target", REFUSED)
def test_refused_targets(target: str) -> None:
    with pytest.raises(InputError) as caught:
        instantiate(node(_target_=target))
    assert str(caught.value).startswith(f"part._target_={target}") and REFUSED[target] in str(caught.value)


def test_refused_target_is_not_even_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hostile_module.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InputError):
        instantiate({"_target_": "hostile_module.Thing"})
    assert "hostile_module" not in sys.modules


def test_nested_target_is_checked_before_the_outer_is_called() -> None:
    inner = {"_target_": "os.system", "command": "true"}
    for value in (inner, [inner], {"deep": inner}):
        with pytest.raises(InputError, match="outside the allowed packages"):
            instantiate(node(_target_="torch.nn.Sequential", module=value))


def test_trust_ends_with_its_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "trusted_module.py").write_text("class Thing:\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with trusting(["trusted_module"]):
        assert type(instantiate(node(_target_="trusted_module.Thing"))).__name__ == "Thing"
        with pytest.raises(InputError):
            instantiate(node(_target_="trusted_module_2.Thing"))
    with pytest.raises(InputError, match="outside"):
        instantiate(node(_target_="trusted_module.Thing"))


def test_torch_modules_functions_and_nested_lists() -> None:
    linear = instantiate(node(_target_="torch.nn.Linear", in_features=3, out_features=2))
    assert linear.weight.shape == (2, 3)
    optimizer = instantiate(
        node(_target_="torch.optim.AdamW", lr=1, betas=[0.5, 0.9]), params=list(linear.parameters())
    )
    assert optimizer.defaults["lr"] == 1.0 and optimizer.defaults["betas"] == (0.5, 0.9)
    assert instantiate(node(_target_="torchvision.models.resnet18", num_classes=3)).fc.out_features == 3
    layer = node(_target_="torch.nn.TransformerEncoder", num_layers=1, encoder_layer={
        "_target_": "torch.nn.TransformerEncoderLayer", "d_model": 4, "nhead": 2, "batch_first": True,
    })  # fmt: skip
    assert isinstance(instantiate(layer).layers[0], torch.nn.TransformerEncoderLayer)


def test_interpolations_are_resolved() -> None:
    config = OmegaConf.create({"dim": 4, "head": {"_target_": "torch.nn.Linear", "in_features": "${dim}"}})
    assert instantiate(config.head, out_features=2).in_features == 4


def test_offered_arguments_go_where_they_are_named() -> None:
    offered = {"num_features": 7, "classes": 3}
    assert instantiate(node(_target_="torch.nn.BatchNorm1d"), offered=offered).num_features == 7
    assert isinstance(instantiate(node(_target_="torch.nn.ReLU"), offered=offered), torch.nn.ReLU)
    # What the user sets wins over an offer; what the caller gives wins over both.
    assert (
        instantiate(node(_target_="torch.nn.BatchNorm1d", num_features=5), offered=offered).num_features == 5
    )
    assert (
        instantiate(node(_target_="torch.nn.BatchNorm1d", num_features=5), num_features=6).num_features == 6
    )


@pytest.mark.parametrize(
    "values, text",
    [
        ({"_target_": "torch.nn.Dropout", "q": 1}, "part has no option 'q'; its options are p, inplace"),
        ({"_target_": "torch.nn.ReLU", "inplac": 1}, "its options are inplace; did you mean 'inplace'?"),
        ({"_target_": "torch.nn.Dropout", "p": "half"}, "part.p: expected float, got 'half'"),
        ({"_target_": "torch.nn.Dropout", "p": 3}, "part: torch.nn.Dropout: dropout probability has to be"),
        (
            {"_target_": "torch.nn.Linear"},
            "part: torch.nn.Linear: missing a required argument: 'in_features'",
        ),
        ({"_target_": "torch.nn.ReLU", "_partial_": True}, "part._partial_: is not supported"),
        ({"_target_": None}, "part: has no _target_"),
        ({"p": 3}, "part: has no _target_"),
    ],
)
def test_mistakes_are_one_line_with_the_key(values: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError) as caught:
        instantiate(node(**values))
    assert text in str(caught.value) and "\n" not in str(caught.value)


def test_check_builds_nothing_and_names_the_full_key() -> None:
    config = OmegaConf.create(
        {
            "scheduler": {
                "_target_": "torch.optim.lr_scheduler.CosineAnnealingLR",
                "T_max": None,
                "interval": "step",
            },
            "none": {"_target_": None, "interval": "step"},
            "terms": [{"_target_": "torch.nn.Dropout", "p": 3}],
        }
    )
    check_targets(config)
    config.terms[0].p = "half"
    with pytest.raises(InputError, match=r"^terms\.0\.p: expected float, got 'half'$"):
        check_targets(config)
    config.terms[0] = {"_target_": "os.system"}
    with pytest.raises(InputError, match=r"^terms\.0\._target_=os\.system"):
        check_targets(config)
