"""Loading weights: all of them, or one line about what does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fewshot.errors import InputError
from fewshot.models.conv4 import Conv4
from fewshot.models.weights import load_weights, read_state


def test_weights_go_over() -> None:
    first, second = Conv4(width=8), Conv4(width=8)
    load_weights(second, first.state_dict())
    assert all(torch.equal(value, first.state_dict()[key]) for key, value in second.state_dict().items())


def test_another_shape_is_named_and_nothing_is_loaded() -> None:
    network = Conv4(width=8)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    for strict in (True, False):
        with pytest.raises(InputError, match=r"stages.block1.conv.weight is \[16, 3, 3, 3\] there") as caught:
            load_weights(network, Conv4(width=16).state_dict(), strict=strict, place="the weights in x.pt")
        assert str(caught.value).startswith("the weights in x.pt do not fit Conv4")
        assert "\n" not in str(caught.value)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_missing_and_unknown_keys_are_both_named() -> None:
    state = Conv4(width=8).state_dict()
    state["stages.block1.conv.kernel"] = state.pop("stages.block1.conv.weight")
    with pytest.raises(InputError, match=r"conv.weight is missing there; .*conv.kernel is unknown here"):
        load_weights(Conv4(width=8), state)
    load_weights(Conv4(width=8), state, strict=False)


def test_a_state_without_a_common_key_is_never_loaded() -> None:
    with pytest.raises(InputError, match="missing there"):
        load_weights(Conv4(width=8), {"fc.weight": torch.zeros(2)}, strict=False)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".pth"])
def test_files_round_trip(tmp_path: Path, suffix: str) -> None:
    state = Conv4(width=8).state_dict()
    file = tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        save_file(state, file)
    else:
        torch.save({"state_dict": state} if suffix == ".pth" else state, file)
    read = read_state(file)
    assert set(read) == set(state) and all(torch.equal(read[key], state[key]) for key in state)


@pytest.mark.parametrize("name", ["damaged.pt", "damaged.safetensors"])
def test_damaged_files_are_an_input_error(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"not weights")
    with pytest.raises(InputError, match=name):
        read_state(tmp_path / name)


def test_a_file_of_something_else_is_an_input_error(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(InputError, match="holds no state_dict"):
        read_state(tmp_path / "list.pt")
