"""Times training on a stream of two-view batches against a plain loop with torchvision and a DataLoader.

    python benchmarks/continual.py [--size 32] [--batch 128] [--steps 20] [--precision bf16] [--device cuda]

The same images go through the same PRD method in its second task, with snapshot, distillation and optimizer.
The plain loop augments each image by itself, twice, as usual: crop after padding, flip, colour changes, gray,
in torchvision's transforms on Pillow images; its DataLoader works in this process, so that both have the same
thread. Ours gathers the batch and augments both views of it at once. The two take turns. Times are medians of
processor time on a CPU, which other jobs of the machine hardly change, and of wall time on CUDA.
"""

from __future__ import annotations

import argparse
import datetime
import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from fewshot import losses
from fewshot.continual.methods.prd import PRD
from fewshot.continual.scenario import class_incremental
from fewshot.continual.stream import StreamFeed
from fewshot.data.augmentation import Augmentation, ColorJitter, RandomCrop, RandomFlip, RandomGrayscale
from fewshot.data.image_folds import TEST, image_folds
from fewshot.data.image_set import ImageSet
from fewshot.models.conv4 import Conv4
from fewshot.models.embedder import Embedder
from fewshot.models.heads import ProjectorHead
from fewshot.randomness import generator
from fewshot.sampling.feed import Batch
from fewshot.sampling.shuffled import ShuffledBatches
from fewshot.training.device import Machine, keep_memory, set_up
from fewshot.training.parameter_groups import parameter_groups

CLASSES, EACH, TASKS = 20, 250, 2
LR = 0.01


def pictures(size: int) -> ImageSet:
    """Random images: what they show makes no difference to the time."""
    images = torch.randint(
        0, 256, (CLASSES * EACH, 3, size, size), dtype=torch.uint8, generator=generator(0, "pictures", 0)
    )
    labels = torch.arange(CLASSES).repeat_interleave(EACH)
    return ImageSet(images, labels, tuple(f"class {number:02d}" for number in range(CLASSES)))


class TwoViews(Dataset[tuple[Tensor, Tensor, int]]):
    """What the plain loop reads: an image, augmented twice by itself, and its label."""

    def __init__(self, images: NDArray[np.uint8], labels: list[int]) -> None:
        self.images = images
        self.labels = labels
        size = images.shape[1]
        self.augment = transforms.Compose(
            [
                transforms.RandomCrop(size, padding=size // 8),
                transforms.RandomHorizontalFlip(),
                transforms.RandomApply([transforms.ColorJitter(0.4, 0.4, 0.4)], 0.8),
                transforms.RandomGrayscale(0.2),
                transforms.ToTensor(),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor, int]:
        image = Image.fromarray(self.images[number])
        return self.augment(image), self.augment(image), self.labels[number]


def plain_batches(dataset: TwoViews, batch: int, device: torch.device) -> Iterator[Batch]:
    loader = DataLoader(dataset, batch, shuffle=True, drop_last=True, pin_memory=device.type == "cuda")
    while True:
        for first, second, labels in loader:
            images = torch.cat((first, second)).to(device, non_blocking=True)
            yield Batch(images, labels.repeat(2).to(device, non_blocking=True))


class Training:
    """A method in its second task, and its optimizer."""

    def __init__(self, size: int, machine: Machine) -> None:
        embedder = Embedder(Conv4(3), ProjectorHead, mean=[0.5] * 3, std=[0.25] * 3, size=size)
        method = PRD(embedder, CLASSES, losses.SupCon(), losses.RelationDistillation())
        self.method = method.to(machine.device).train()
        self.machine = machine
        each = CLASSES // TASKS
        for task in range(TASKS):
            self.method.begin_task(torch.arange(each * task, each * (task + 1)))
        self.optimizer = torch.optim.SGD(parameter_groups(method, LR), lr=LR, momentum=0.9)

    def step(self, batch: Batch) -> None:
        with self.machine.autocast():
            loss, _ = self.method(batch, generator(0, "objective", 0, self.machine.device))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()


def clock(machine: Machine) -> float:
    """Seconds: of this process on a CPU, of the wall clock once a CUDA device has done its work."""
    if machine.device.type != "cuda":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def main() -> None:
    keep_memory()  # as training does
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=32, help="side of the images")
    parser.add_argument("--batch", type=int, default=128, help="images, of which each has two views")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--precision", default="auto", help="float32, bf16, or auto: as training chooses")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--quick", action="store_true", help="two small steps: does it run?")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.size, arguments.batch, arguments.steps = 16, 16, 2
    machine = set_up(arguments.device, arguments.precision, 1)
    size, batch = arguments.size, arguments.batch
    image_set = pictures(size)
    folds = image_folds(image_set, None, test_share=0.2, validation_share=0.0)
    scenario = class_incremental(image_set, folds, TEST, tasks=TASKS)
    on_device = ImageSet(image_set.images.to(machine.device), image_set.labels, image_set.class_names)
    training = Training(size, machine)
    samplers = [
        ShuffledBatches(scenario.training_table([task]), batch=batch, seed=0, stream=f"task {task}")
        for task in range(TASKS)
    ]
    augment = Augmentation(
        crop=RandomCrop(0.125),
        flip=RandomFlip(0.5),
        jitter=ColorJitter(0.4, 0.4, 0.4, probability=0.8),
        grayscale=RandomGrayscale(0.2),
    )
    first = arguments.steps + 1
    lengths = [first, first]
    feed = StreamFeed(scenario, on_device, training.method, samplers, lengths, augment, machine.device, 0)
    images = scenario.tasks[1].train
    dataset = TwoViews(
        image_set.images[images].permute(0, 2, 3, 1).contiguous().numpy(), scenario.labels[images].tolist()
    )
    plain = plain_batches(dataset, batch, machine.device)
    print(
        f"torch {torch.__version__}, torchvision {torchvision.__version__}, {machine.describe()['device']}, "
        f"1 thread, {machine.precision}, {datetime.date.today()}\n"
        f"Conv4, {size} px, {batch} images in two views; median of {arguments.steps} steps\n"
    )
    names = ("stream", "plain loop")
    sources: tuple[Callable[[int], Batch], ...] = (lambda step: feed(first + step), lambda _: next(plain))
    batches: dict[str, list[float]] = {name: [] for name in names}
    steps: dict[str, list[float]] = {name: [] for name in names}
    for step in range(arguments.steps + 1):
        for name, source in zip(names, sources, strict=True):
            begin = clock(machine)
            made = source(step)
            between = clock(machine)
            training.step(made)
            batches[name].append(between - begin)
            steps[name].append(clock(machine) - between)
    print(f"{'':12}{'batch, ms':>11}{'step, ms':>10}{'images/s':>10}{'ratio':>8}")
    whole = {
        name: statistics.median(a + b for a, b in zip(batches[name][1:], steps[name][1:], strict=True))
        for name in names
    }
    for name in names:
        made_in, learnt_in = (1e3 * statistics.median(times[name][1:]) for times in (batches, steps))
        print(
            f"{name:12}{made_in:11.1f}{learnt_in:10.1f}{batch / whole[name]:10.0f}"
            f"{whole[name] / whole[names[0]]:8.2f}"
        )


if __name__ == "__main__":
    main()
