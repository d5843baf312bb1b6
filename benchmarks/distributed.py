"""Episodes a second of training in two processes on two cores, against one process with one thread.

    python benchmarks/distributed.py

Both run the training loop itself on the same global batch: augmentation, Conv4, prototypical loss, Adam,
the guard, and between processes the gradients, the figures and the question whether to stop. They take turns,
each time in fresh processes of one thread. Times are of the wall clock, so nothing else may run.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import torch

from fewshot.data.augmentation import Augmentation, RandomCrop, RandomFlip
from fewshot.data.image_set import ImageSet
from fewshot.losses import PrototypicalCrossEntropy
from fewshot.models.conv4 import Conv4
from fewshot.models.embedder import Embedder
from fewshot.models.heads import NoHead
from fewshot.objectives.episodic import Episodic
from fewshot.randomness import generator
from fewshot.sampling.class_table import ClassTable
from fewshot.sampling.episodes import EpisodeSampler
from fewshot.sampling.feed import feed_for
from fewshot.training.device import keep_memory, set_up
from fewshot.training.loop import LoopOptions, train
from fewshot.training.schedule import Schedule

CLASSES, EACH = 20, 40


class Clock:
    """Seconds after each window of steps."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        self.seconds.append(values["seconds"])


def run(arguments: argparse.Namespace) -> None:
    """Train in this process, one of those that were started, and print the episodes/s of each window."""
    keep_memory()
    machine = set_up("cpu", arguments.precision, 1)
    images = ImageSet(
        torch.randint(
            0, 256, (CLASSES * EACH, 3, arguments.size, arguments.size), dtype=torch.uint8,
            generator=generator(0, "pictures", 0),
        ),
        torch.arange(CLASSES).repeat_interleave(EACH),
        tuple(f"class {number:02d}" for number in range(CLASSES)),
    )  # fmt: skip
    sampler = EpisodeSampler(
        ClassTable.of(images, images.class_names), 5, 5, 15, 0, "train", episodes=arguments.episodes
    )
    torch.manual_seed(0)
    embedder = Embedder(Conv4(3), NoHead, mean=[0.5] * 3, std=[0.25] * 3, size=arguments.size)
    objective = Episodic(embedder, PrototypicalCrossEntropy())
    optimizer = torch.optim.Adam(objective.parameters())
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        train(
            objective,
            feed_for(
                images,
                sampler,
                Augmentation(crop=RandomCrop(0.1), flip=RandomFlip()),
                machine.device,
                machine.processes,
            ),
            optimizer,
            Schedule(optimizer, None, "step", 0, 1),
            machine,
            LoopOptions(
                steps=arguments.steps * (arguments.windows + 1),
                seed=0,
                log_every=arguments.steps,
                validate_every=0,
                save_every=10**9,
            ),
            validate=lambda _: {},
            monitor="",
            tracker=clock,
            folder=Path(folder),
            card=lambda _: {},
        )
    if machine.processes.first:
        done = arguments.steps * arguments.episodes
        # The first window warms up.
        print(json.dumps([done / (end - start) for start, end in pairwise(clock.seconds)]))


def measured(processes: int) -> list[float]:
    """Episodes/s of the windows of one training in so many processes."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    words = [*(torchrun if processes > 1 else []), __file__, "--worker", *sys.argv[1:]]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"}
    done = subprocess.run([sys.executable, *words], env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    return [float(rate) for rate in json.loads(done.stdout.splitlines()[-1])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=84, help="side of the images")
    parser.add_argument("--episodes", type=int, default=2, help="in a step")
    parser.add_argument("--steps", type=int, default=10, help="in a window")
    parser.add_argument("--windows", type=int, default=3, help="of a training, beside a first one to warm up")
    parser.add_argument("--rounds", type=int, default=3, help="trainings of each kind")
    parser.add_argument("--precision", default="auto", help="float32, bf16, or auto: as training chooses")
    parser.add_argument("--quick", action="store_true", help="one small round: does it run?")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.size, arguments.steps, arguments.windows, arguments.rounds = 16, 1, 1, 1
    if arguments.worker:
        run(arguments)
        return
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(arguments.rounds):
        for processes, found in rates.items():
            found.extend(measured(processes))
    machine = set_up("cpu", arguments.precision, 1)
    print(
        f"torch {torch.__version__}, {machine.describe()['device']}, 1 thread a process, "
        f"{machine.precision}, {datetime.date.today()}\nConv4, {arguments.size} px, "
        f"{arguments.episodes} episodes of 5 x (5 + 15) images a step; "
        f"median of {len(rates[1])} windows of {arguments.steps} steps\n"
    )
    print(f"{'':12}{'episodes/s':>12}{'ratio':>8}")
    one, two = (statistics.median(found) for found in rates.values())
    print(f"{'1 process':12}{one:12.2f}")
    print(f"{'2 processes':12}{two:12.2f}{two / one:8.2f}")


if __name__ == "__main__":
    main()
