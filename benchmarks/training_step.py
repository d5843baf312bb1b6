"""Times the phases of a training step, and the share that is not the network's forward and backward.

    python benchmarks/training_step.py [--size 84] [--steps 30] [--precision bf16] [--device cpu]

Conv4, one episode of 5-way 5-shot with 15 queries a step (100 images), the prototypical loss, Adam:
train.py's own parts in its own loop, as `python -m fewshot profile` watches them. Crop and flip, then colour
changes too, which are reported apart. The pictures are random JPEG files, packed once, as a user's are. Times
are medians over the steps: of processor time on a CPU with one thread, which other jobs of the machine hardly
change, of the wall clock on CUDA, where each phase waits for the device.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import io
import os
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from omegaconf import DictConfig
from pictures import jpeg_folders

from fewshot.cli.commands.train import PROGRAM
from fewshot.cli.launch import main as launch
from fewshot.recipes.few_shot import RECIPE
from fewshot.recipes.profile import WARM_UP, observe
from fewshot.recipes.run_in_progress import start
from fewshot.recipes.training_data import training_data
from fewshot.recipes.training_parts import training_parts
from fewshot.training.ceilings import clock
from fewshot.training.device import Machine
from fewshot.training.observation import NETWORK_BACKWARD, NETWORK_FORWARD, PHASES

AUGMENTATIONS = ("crop_flip", "crop_flip_jitter")
BAR = 0.10


def phases(words: list[str], steps: int) -> tuple[dict[str, float], Machine]:
    """Median seconds of each phase of `train.py WORDS`."""
    found = []

    def measure(config: DictConfig) -> None:
        started = start(config)
        machine = started.machine
        parts = training_parts(config, training_data(config, RECIPE.protocol, machine.device), machine)
        read = time.process_time if machine.device.type == "cpu" else lambda: clock(machine)
        measured = observe(parts, machine, WARM_UP + steps, read).steps[WARM_UP:]
        found.append(({name: statistics.median(step[name] for step in measured) for name in PHASES}, machine))

    # The bar of progress of each run would stand between the rows.
    with contextlib.redirect_stderr(io.StringIO()) as errors:
        status = launch(replace(PROGRAM, instead=measure), words)
    if status:
        raise SystemExit(errors.getvalue())
    return found[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=84, help="side of the images")
    parser.add_argument("--steps", type=int, default=30, help=f"measured, after {WARM_UP}")
    parser.add_argument("--precision", default="auto", help="float32, bf16, or auto: as training chooses")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--quick", action="store_true", help="two small steps: does it run?")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.size, arguments.steps = 28, 2
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FEWSHOT_DATA"] = folder
        images = jpeg_folders(Path(folder) / "pictures", classes=10, each=40, size=arguments.size)
        words = ["data=folder", f"data.path={images}", f"data.size={arguments.size}", "threads=1",
                 "ways=5", "shots=5", "queries=15", "validation.every=0",
                 f"precision={arguments.precision}", f"device={arguments.device}"]  # fmt: skip
        measured = {name: phases([*words, f"augment={name}"], arguments.steps) for name in AUGMENTATIONS}
    machine = measured[AUGMENTATIONS[0]][1]
    print(
        f"torch {torch.__version__}, {machine.describe()['device']}, 1 thread, {machine.precision}, "
        f"{datetime.date.today()}\n"
        f"Conv4, {arguments.size} px, 100 images a step; median of {arguments.steps} steps\n"
    )
    print(f"{'ms':<20}" + "".join(f"{name:>18}" for name in AUGMENTATIONS))
    for phase in PHASES:
        print(f"{phase:<20}" + "".join(f"{1e3 * measured[n][0][phase]:18.2f}" for n in AUGMENTATIONS))
    totals = {name: sum(measured[name][0].values()) for name in AUGMENTATIONS}
    outside = {
        name: 1
        - sum(measured[name][0][phase] for phase in (NETWORK_FORWARD, NETWORK_BACKWARD)) / totals[name]
        for name in AUGMENTATIONS
    }
    print(f"{'step':<20}" + "".join(f"{1e3 * totals[name]:18.2f}" for name in AUGMENTATIONS))
    print(f"{'images/s':<20}" + "".join(f"{100 / totals[name]:18.0f}" for name in AUGMENTATIONS))
    print(f"{'outside the network':<20}" + "".join(f"{outside[name]:18.1%}" for name in AUGMENTATIONS))
    print(f"\nbar: under {BAR:.0%} with crop and flip")


if __name__ == "__main__":
    main()
