"""Times training from JPEG files against the loop that users of EasyFSL write.

    python benchmarks/training.py [--images DIR] [--rounds 5] [--steps 8] [--device cuda]
    python benchmarks/training.py --images DIR --accuracy 300

Conv4, 84 px, a 5-way 5-shot task with 15 queries a step (100 images), crop and flip, Adam, squared Euclidean
prototypes. Ours is train.py's parts in its own loop, in float32 and in bf16; the images are packed once
before, and the first lines say how long that took. The peer is `easyfsl_loop.py`: a DataLoader with EasyFSL's
TaskSampler and episodic_collate_fn, Pillow, torchvision's transforms, contiguous float32. Each has a process
of its own, since memory that ours keeps would serve the peer as well; the processes take turns, a round at a
time, on one thread. Times are medians of processor time; on CUDA of the wall clock, with as many workers for
the peer as there are cores.

DIR holds class folders of JPEG files, or train/ and val/ with such folders; without it they are made, of
random pictures. --accuracy N trains each for N steps and measures it on 1,000 tasks of the validation
classes. EasyFSL is no dependency of this project: `pip install easyfsl==1.5.0` adds its row.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import torch
from easyfsl_loop import AsEmbedder, EasyFSLLoop
from omegaconf import DictConfig
from pictures import jpeg_folders

from fewshot.cli.commands.train import PROGRAM
from fewshot.cli.launch import main as launch
from fewshot.recipes.few_shot import RECIPE, EpisodeValidation
from fewshot.recipes.profile import observe
from fewshot.recipes.run_in_progress import start
from fewshot.recipes.training_data import TrainingData, training_data
from fewshot.recipes.training_parts import training_parts
from fewshot.training.ceilings import clock
from fewshot.training.device import Machine

PEER = "easyfsl loop"
OURS = ("float32", "bf16")
TASK = (5, 5, 15)
IMAGES = TASK[0] * (TASK[1] + TASK[2])


class Contestant(Protocol):
    """What trains in a process of its own."""

    def times(self, steps: int) -> list[float]:
        """Seconds of each of so many further steps."""
        ...

    def accuracy(self) -> dict[str, float]:
        """On the validation classes."""
        ...


class Opened:
    """A run of train.py up to the point where it builds its parts."""

    config: DictConfig
    data: TrainingData
    machine: Machine

    def __init__(self, words: list[str]) -> None:
        def keep(config: DictConfig) -> None:
            started = start(config)
            self.config, self.machine = started.config, started.machine
            self.data = training_data(started.config, RECIPE.protocol, self.machine.device)

        if launch(replace(PROGRAM, instead=keep), words):
            raise SystemExit(2)

    def read(self) -> float:
        return time.process_time() if self.machine.device.type == "cpu" else clock(self.machine)


class Ours:
    def __init__(self, words: list[str], precision: str) -> None:
        self.run = Opened([*words, f"precision={precision}"])
        self.parts = training_parts(self.run.config, self.run.data, self.run.machine)

    def times(self, steps: int) -> list[float]:
        seen = observe(self.parts, self.run.machine, steps, self.run.read)
        return [sum(step.values()) for step in seen.steps]

    def accuracy(self) -> dict[str, float]:
        validation = EpisodeValidation(self.run.data, self.run.config, self.run.machine)
        return validation(self.parts.network.embedder.eval())


class Peer:
    def __init__(self, words: list[str], images: Path, size: int) -> None:
        # Without our allocator, which its users do not have.
        self.run = Opened([*words, "precision=float32", "allocator=false"])
        device = self.run.machine.device
        workers = (os.cpu_count() or 1) if device.type == "cuda" else 0
        classes = [images / name for name in self.run.data.base.names]
        specs = Path(os.environ["FEWSHOT_DATA"]) / "classes.json"
        self.loop = EasyFSLLoop(classes, specs, size, TASK, device, workers, self.run.config.seed)

    def times(self, steps: int) -> list[float]:
        return self.loop.times(steps, self.run.read)

    def accuracy(self) -> dict[str, float]:
        validation = EpisodeValidation(self.run.data, self.run.config, self.run.machine)
        return validation(AsEmbedder(self.loop.backbone).eval())  # type: ignore[arg-type]


def serve(pipe: Any, make: Callable[[], Contestant]) -> None:
    """In a process of its own: make the contestant, answer (method, arguments) until told None."""
    contestant = make()
    pipe.send("ready")
    while (asked := pipe.recv()) is not None:
        method, arguments = asked
        pipe.send(getattr(contestant, method)(*arguments))


class Make:
    """Makes a contestant where it is to live."""

    def __init__(self, name: str, words: list[str], images: Path, size: int) -> None:
        self.name, self.words, self.images, self.size = name, words, images, size

    def __call__(self) -> Contestant:
        if self.name == PEER:
            return Peer(self.words, self.images, self.size)
        return Ours(self.words, self.name.removeprefix("ours, "))


class Remote:
    """A contestant in its own process."""

    def __init__(self, make: Make) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=serve, args=(other, make))
        self.process.start()
        other.close()

    def wait(self) -> None:
        """Until it is made."""
        self.pipe.recv()

    def ask(self, method: str, *arguments: Any) -> Any:
        self.pipe.send((method, arguments))
        return self.pipe.recv()

    def end(self) -> None:
        self.pipe.send(None)
        self.process.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--images", type=Path, help="folder of class folders of JPEG files; none: random ones"
    )
    parser.add_argument("--size", type=int, default=84, help="side of the images")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8, help="of a round, after 2 that are left out")
    parser.add_argument("--accuracy", type=int, metavar="N", help="train for N steps and evaluate, as well")
    parser.add_argument("--seeds", type=int, default=3, help="of --accuracy")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--quick", action="store_true", help="a few small steps: does it run?")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.size, arguments.rounds, arguments.steps = 28, 1, 1
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FEWSHOT_DATA"] = folder
        images = arguments.images or jpeg_folders(Path(folder) / "pictures", 12, 40, arguments.size)
        compare(arguments, images.resolve())


def compare(arguments: argparse.Namespace, images: Path) -> None:
    ways, shots, queries = TASK
    words = ["data=folder", f"data.path={images}", f"data.size={arguments.size}", "augment=crop_flip",
             f"ways={ways}", f"shots={shots}", f"queries={queries}", "threads=1", "scheduler=none",
             "validation.episodes=1000", f"device={arguments.device}"]  # fmt: skip
    if arguments.quick:
        words += ["ways=2", "sampler.ways=5", "validation.episodes=10"]
    began = time.process_time()
    opened = Opened([*words, "precision=float32"])
    packed = time.process_time() - began
    machine = opened.machine.describe()
    print(
        f"torch {torch.__version__}, {machine['device']}, 1 thread, {datetime.date.today()}\n"
        f"Conv4, {arguments.size} px, {IMAGES} images a step; {len(opened.data.image_set):,} images packed "
        f"in {packed:.1f} s, once\n"
    )
    names = [f"ours, {precision}" for precision in OURS]
    try:
        importlib.import_module("easyfsl.samplers")
        names.append(PEER)
    except ImportError:
        print("no easyfsl to compare with (pip install easyfsl==1.5.0)")
    contestants = {name: Remote(Make(name, words, images, arguments.size)) for name in names}
    for contestant in contestants.values():
        contestant.wait()
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(arguments.rounds):
        for name, contestant in contestants.items():
            times[name] += contestant.ask("times", arguments.steps + 2)[2:]
    for contestant in contestants.values():
        contestant.end()
    medians = {name: statistics.median(each) for name, each in times.items()}
    print(f"{'':16}{'ms a step':>11}{'episodes/s':>12}{'images/s':>10}{'times the loop':>16}")
    for name, seconds in medians.items():
        ratio = f"{medians[PEER] / seconds:16.1f}" if PEER in medians else f"{'':16}"
        print(f"{name:16}{1e3 * seconds:11.1f}{1 / seconds:12.2f}{IMAGES / seconds:10.0f}{ratio}".rstrip())
    if arguments.accuracy:
        print(f"\naccuracy on validation classes after {arguments.accuracy} steps, {ways}-way {shots}-shot")
        for name in names:
            found = [
                accuracy(Make(name, [*words, f"seed={seed}"], images, arguments.size), arguments.accuracy)
                for seed in range(arguments.seeds)
            ]
            each = ", ".join(f"{100 * one['accuracy']:.2f} +- {100 * one['interval']:.2f}" for one in found)
            mean = statistics.mean(one["accuracy"] for one in found)
            print(f"{name:16}{100 * mean:8.2f}   of seeds {each}", flush=True)


def accuracy(make: Make, steps: int) -> dict[str, float]:
    """Accuracy, and its interval over tasks, of a contestant after so many steps."""
    contestant = Remote(make)
    contestant.wait()
    contestant.ask("times", steps)
    found: dict[str, float] = contestant.ask("accuracy")
    contestant.end()
    return found


if __name__ == "__main__":
    main()
