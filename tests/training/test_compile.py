"""training with compile=true is the training without it, up to rounding."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fewshot.losses import PrototypicalCrossEntropy
from fewshot.models.conv4 import Conv4
from fewshot.models.embedder import Embedder
from fewshot.models.heads import NoHead
from fewshot.objectives.episodic import Episodic
from fewshot.sampling.feed import Batch
from fewshot.training import checkpoint
from fewshot.training.device import set_up
from fewshot.training.loop import LoopOptions, train
from fewshot.training.schedule import Schedule

COMPILER = shutil.which("g++") or shutil.which("clang++") or shutil.which("c++")
STEPS = 4


class Stripes:
    """Two episodes, 3-way, 1 support and 2 queries: noise with one bright row for each way."""

    steps_per_epoch = 10

    def __call__(self, step: int) -> Batch:
        images = 0.3 * torch.rand(2, 3, 3, 1, 8, 8, generator=torch.Generator().manual_seed(step))
        for way in range(3):
            images[:, way, :, :, 2 * way] += 0.7
        labels = torch.arange(3).repeat_interleave(3).repeat(2)
        return Batch(images.flatten(0, 2), labels, (2, 3, 1, 2))


class Losses:
    def __init__(self) -> None:
        self.values: list[float] = []

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        self.values.append(values["train/loss"])


def trained(folder: Path, compiled: bool, depth: int) -> tuple[dict[str, Tensor], list[float]]:
    """Weights and losses after a few steps."""
    folder.mkdir()
    torch.manual_seed(0)
    embedder = Embedder(
        Conv4(width=4, depth=depth, in_channels=1), NoHead, mean=(0.5,), std=(0.5,), size=8, channels=1
    )
    objective = Episodic(embedder, PrototypicalCrossEntropy(temperature=20.0))
    optimizer = torch.optim.SGD(objective.parameters(), lr=0.05)
    losses = Losses()
    train(
        objective,
        Stripes(),
        optimizer,
        Schedule(optimizer, None, "step", 0, 10),
        set_up("cpu", "float32", None),
        LoopOptions(steps=STEPS, seed=0, log_every=1, compile=compiled),
        validate=lambda _: {},
        monitor="accuracy",
        tracker=losses,
        folder=folder,
        card=lambda _: {},
    )
    return checkpoint.load(folder / "best.pt")["embedder"], losses.values


@pytest.mark.parametrize(
    "backend,depth",
    [
        ("aot_eager", 2),  # what compiling traces, without the machine code that takes most of its time
        pytest.param(
            "inductor",
            1,
            marks=pytest.mark.skipif(COMPILER is None, reason="inductor needs a C++ compiler; none on PATH"),
        ),
    ],
)
def test_a_compiled_training_equals_the_plain_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str, depth: int
) -> None:
    calls = []
    compile_ = torch.compile

    def counted(module: torch.nn.Module) -> object:
        calls.append(module)
        return compile_(module, backend=backend)

    monkeypatch.setattr(torch, "compile", counted)
    plain, losses = trained(tmp_path / "plain", compiled=False, depth=depth)
    assert not calls
    fast, losses_compiled = trained(tmp_path / "compiled", compiled=True, depth=depth)
    assert len(calls) == 1
    assert len(losses) == STEPS and losses[-1] != losses[0]
    assert losses_compiled == pytest.approx(losses, rel=1e-4, abs=1e-5)
    # No `_orig_mod.` in the names: a checkpoint does not tell whether it was compiled.
    assert plain.keys() == fast.keys()
    for name, value in plain.items():
        torch.testing.assert_close(fast[name], value, rtol=1e-3, atol=1e-4, msg=name)
