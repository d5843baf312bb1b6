"""A training step reads nothing back from the device: the host need not see the outcome of any operation.

A CUDA device would have to be waited for at each such operation. They are found on a CPU, where continuous
integration runs, by what they are; where there is a CUDA device, torch's own check stands beside them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from fewshot.config import instantiate
from fewshot.errors import InputError
from fewshot.losses import n_pair
from fewshot.models.conv4 import Conv4
from fewshot.models.embedder import Embedder
from fewshot.models.heads import LinearHead
from fewshot.objectives.episodic import Episodic
from fewshot.objectives.mixed import Mixed
from fewshot.objectives.mixed_episodic import MixedEpisodic
from fewshot.objectives.plain import Plain
from fewshot.sampling.feed import Batch

CONF = Path(__file__).resolve().parents[2] / "conf"
LOSSES = sorted(path.stem for path in (CONF / "loss").glob("*.yaml"))
READ_BACK = {
    "_local_scalar_dense",
    "bincount",
    "equal",
    "is_nonzero",
    "masked_select",
    "nonzero",
    "unique_consecutive",
    "unique_dim",
    "_unique",
    "_unique2",
}


class Waited(AssertionError):
    """An operation that the host must wait for."""


class NoWaiting(TorchDispatchMode):
    """Refuses operations whose outcome the host must see, be it a number or the shape of a result."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        chosen = name in ("index", "index_put", "index_put_", "_index_put_impl_") and any(
            isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8) for index in args[1]
        )
        counted = name == "repeat_interleave" and kwargs.get("output_size") is None
        if name in READ_BACK or chosen or counted:
            raise Waited(f"{func} waits for the device")
        return func(*args, **kwargs)


@pytest.fixture(scope="module", autouse=True)
def hydra() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with initialize_config_dir(str(CONF), version_base="1.3"):
            yield


def objective_and_batch(loss_name: str, mixup: str, device: str) -> tuple[torch.nn.Module, Batch]:
    torch.manual_seed(0)
    chosen = compose("train", [f"loss={loss_name}", f"mixup={mixup}"])
    embedder = Embedder(Conv4(1, 4, 2), LinearHead, mean=[0.5], std=[0.5], size=8, channels=1)
    loss = instantiate(chosen.loss, offered={"classes": 4, "dim": embedder.dim})
    images, labels = torch.rand(16, 1, 8, 8), torch.arange(4).repeat_interleave(4)
    mixing = None if mixup == "none" else instantiate(chosen.mixup)
    if loss.kind == "episodic":
        objective = Episodic(embedder, loss) if mixing is None else MixedEpisodic(embedder, loss, mixing)
        batch = Batch(images.to(device), labels.to(device), (1, 4, 2, 2), 4)
    else:
        objective = Plain(embedder, loss) if mixing is None else Mixed(embedder, loss, mixing)
        batch = Batch(images.to(device), labels.to(device), largest_class=4)
    return objective.to(device).train(), batch


def step(objective: torch.nn.Module, batch: Batch, device: str) -> None:
    loss, _ = objective(batch, torch.Generator(device).manual_seed(0))
    loss.backward()


@pytest.mark.parametrize("mixup", ["none", "embedding", "feature"])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_step_reads_nothing_back(loss: str, mixup: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # As on a device; counting on a CPU is no waiting.
    monkeypatch.setattr(n_pair, "most_pairs", lambda second: (len(second) + 1) // 2)
    try:
        objective, batch = objective_and_batch(loss, mixup, "cpu")
    except InputError as error:
        pytest.skip(f"this loss can't be mixed: {error}")
    with NoWaiting():
        step(objective, batch, "cpu")


@pytest.mark.gpu
@pytest.mark.parametrize("mixup", ["none", "embedding", "feature"])
@pytest.mark.parametrize("loss", LOSSES)
def test_on_cuda_a_step_waits_for_nothing(loss: str, mixup: str) -> None:
    try:
        objective, batch = objective_and_batch(loss, mixup, "cuda")
    except InputError as error:
        pytest.skip(f"this loss can't be mixed: {error}")
    step(objective, batch, "cuda")  # the first step of all may prepare libraries
    torch.cuda.set_sync_debug_mode("error")
    try:
        step(objective, batch, "cuda")
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: float(x.sum()),
        lambda x: x[x > 0],
        lambda x: (x > 0).nonzero(),
        lambda x: bool((x > 0).any()),
        lambda x: x.masked_select(x > 0),
        lambda x: torch.unique(x),
    ],
)
def test_the_check_finds_what_waits(wait: Any) -> None:
    with NoWaiting(), pytest.raises(Waited):
        wait(torch.arange(-3.0, 3.0))
