"""Times a training step with Metrix against that with the clean loss: forward and backward, one thread.

    python benchmarks/metrix.py [--sizes 32 84] [--repeats 10] [--precision float32|bf16] [--only contrastive]

Conv4 with average and maximum pooling and a linear head of 512, on a batch of 20 classes x 5 images. The
objectives take turns. Times are medians of processor time, which other jobs of the machine hardly change.
Memory is the most that a fresh process holds in three steps (VmHWM, its peak of resident memory) beyond what
one with the clean loss does. Passes are images through the backbone, per image of the batch.
"""

from __future__ import annotations

import argparse
import datetime
import multiprocessing
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from peak_memory import PeakMemory
from torch import Tensor, nn

from fewshot import losses
from fewshot.mixup.metrix import Metrix, Where
from fewshot.models.conv4 import Conv4
from fewshot.models.embedder import Embedder
from fewshot.models.heads import LinearHead
from fewshot.objectives.mixed import Mixed
from fewshot.objectives.plain import Plain
from fewshot.randomness import generator
from fewshot.sampling.feed import Batch
from fewshot.training.device import Machine, keep_memory, set_up

WAYS, IMAGES, CLASSES, DIM = 20, 5, 50, 512
PLACES: tuple[Where, ...] = ("embedding", "feature", "input")
LOSSES: dict[str, Callable[[], nn.Module]] = {
    "contrastive": losses.Contrastive,
    "multi_similarity": losses.MultiSimilarity,
    "proxy_anchor": lambda: losses.ProxyAnchor(CLASSES, DIM),
    "normalized_softmax": lambda: losses.NormalizedSoftmax(CLASSES, DIM),
}


class Step(NamedTuple):
    """One training step but for the optimizer's."""

    objective: nn.Module
    batch: Batch
    machine: Machine

    def __call__(self, number: int) -> float:
        """Milliseconds of processor time."""
        begin = time.process_time()
        with self.machine.autocast():
            loss, _ = self.objective(self.batch, generator(0, "benchmark of Metrix", number))
        loss.backward()
        spent = 1e3 * (time.process_time() - begin)
        self.objective.zero_grad()
        return spent


def make(loss: str, place: str, size: int, machine: Machine) -> Step:
    """`place` is one of `PLACES`, or "clean"."""
    backbone = Conv4(3, 64, 4, "average_max")
    embedder = Embedder(backbone, lambda dim: LinearHead(dim, DIM), mean=[0.5] * 3, std=[0.25] * 3, size=size)
    where = next((each for each in PLACES if each == place), None)
    criterion = LOSSES[loss]()
    objective = (
        Plain(embedder, criterion) if where is None else Mixed(embedder, criterion, Metrix(where=where))
    )
    images = torch.rand(WAYS * IMAGES, 3, size, size, generator=generator(0, "images of a benchmark", 0))
    labels = torch.arange(WAYS).repeat_interleave(IMAGES)
    return Step(objective, Batch(images, labels, largest_class=IMAGES), machine)


def passes(step: Step) -> float:
    """Images through the backbone's first convolution in a step, per image of the batch."""
    seen = 0

    def count(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        nonlocal seen
        seen += len(inputs[0])

    first = next(module for module in step.objective.modules() if isinstance(module, nn.Conv2d))
    handle = first.register_forward_pre_hook(count)
    step(0)
    handle.remove()
    return seen / len(step.batch.images)


def peak(loss: str, place: str, size: int, machine: Machine) -> float:
    """MiB that a process holds at most in three steps. To be run in one that has not held a tensor."""
    step = make(loss, place, size, machine)
    memory = PeakMemory()
    for number in range(3):
        step(number)
    return memory.mebibytes()


def peaks(loss: str, size: int, machine: Machine) -> list[float]:
    """`peak` with the clean loss and with each of `PLACES`, each in its own fork of this process."""
    held = []
    for place in ("clean", *PLACES):
        with multiprocessing.get_context("fork").Pool(1) as pool:
            held.append(pool.apply(peak, (loss, place, size, machine)))
    return held


def measure(loss: str, size: int, repeats: int, machine: Machine, held: list[float]) -> None:
    steps = {place: make(loss, place, size, machine) for place in ("clean", *PLACES)}
    through = [passes(step) for step in steps.values()]
    rounds = [[step(number) for step in steps.values()] for number in range(repeats + 1)][1:]
    times = [statistics.median(column) for column in zip(*rounds, strict=True)]
    for place, time_of, memory, count in zip(steps, times, held, through, strict=True):
        print(
            f"{loss:20}{size:5}  {place:10}{time_of:10.1f}{time_of / times[0]:8.2f}{memory - held[0]:12.0f}"
            f"{count:9.0f}",
            flush=True,
        )


def main() -> None:
    keep_memory()  # as training does
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 84], help="sides of the images")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--precision", default="float32", help="float32, bf16, or auto: as training chooses")
    parser.add_argument("--only", nargs="+", default=[""], metavar="NAME", help="losses whose name begins so")
    parser.add_argument("--quick", action="store_true", help="one loss, small images: does it run?")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.sizes, arguments.repeats, arguments.only = [16], 1, ["contrastive"]
    machine = set_up("cpu", arguments.precision, 1)
    print(
        f"torch {torch.__version__}, {machine.describe()['device']}, 1 thread, {machine.precision}, "
        f"{datetime.date.today()}"
    )
    print(f"Conv4, {WAYS} classes x {IMAGES} images; forward + backward, median ms\n")
    print(f"{'loss':20}{'size':>5}  {'mixed':10}{'ms':>10}{'ratio':>8}{'extra MiB':>12}{'passes':>9}")
    chosen = [
        (loss, size) for size in arguments.sizes for loss in LOSSES if loss.startswith(tuple(arguments.only))
    ]
    held = [peaks(loss, size, machine) for loss, size in chosen]  # first: this process has no tensor yet
    for (loss, size), memory in zip(chosen, held, strict=True):
        measure(loss, size, arguments.repeats, machine, memory)


if __name__ == "__main__":
    main()
