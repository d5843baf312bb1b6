"""Work that one process does alone and several share; `worker.py` runs it in several."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fewshot import losses
from fewshot.data.augmentation import Augmentation, ColorJitter, RandomCrop, RandomErasing, RandomFlip
from fewshot.data.image_set import ImageSet
from fewshot.distributed import Processes
from fewshot.evaluation.accuracy import shot_curve
from fewshot.evaluation.classifiers.nearest_prototype import NearestPrototype
from fewshot.evaluation.embeddings import embed
from fewshot.losses.cross_batch_memory import CrossBatchMemory
from fewshot.mixup.metrix import Metrix
from fewshot.models.conv4 import Conv4
from fewshot.models.embedder import Embedder
from fewshot.models.heads import LinearHead
from fewshot.objectives.episodic import Episodic
from fewshot.objectives.mixed import Mixed
from fewshot.objectives.mixed_episodic import MixedEpisodic
from fewshot.objectives.plain import Plain
from fewshot.randomness import generator
from fewshot.sampling.class_table import ClassTable
from fewshot.sampling.classes_by_images import ClassesByImages
from fewshot.sampling.episodes import EpisodeSampler
from fewshot.sampling.feed import Batch, feed_for
from fewshot.sampling.hard_classes import HardClasses
from fewshot.sampling.testbed import draw_testbed
from fewshot.training.device import Machine
from fewshot.training.head_only import HeadOnly
from fewshot.training.loop import LoopOptions, train
from fewshot.training.schedule import Schedule

CPU = torch.device("cpu")
CLASSES, EACH, DIM, SIZE = 8, 8, 12, 16
AUGMENT = Augmentation(
    crop=RandomCrop(0.2), flip=RandomFlip(), erase=RandomErasing(), jitter=ColorJitter(0.3, 0.3, 0.3)
)


def pictures() -> ImageSet:
    """Blobs: a class has a brightness, an image noise of its own."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(CLASSES).repeat_interleave(EACH)
    noise = torch.randint(-60, 60, (len(labels), 1, SIZE, SIZE), generator=draw)
    images = (60 + 18 * labels[:, None, None, None] + noise).clamp(0, 255).to(torch.uint8)
    return ImageSet(images, labels, tuple(f"class {number}" for number in range(CLASSES)))


def embedder() -> Embedder:
    """In evaluation mode as to BatchNorm, whose statistics would be those of a share."""
    torch.manual_seed(0)
    made = Embedder(
        Conv4(1, width=4, depth=2), lambda features: LinearHead(features, DIM), mean=[0.4], std=[0.2],
        size=SIZE, channels=1,
    )  # fmt: skip
    made.freeze_batchnorm()
    return made


def tables(images: ImageSet) -> ClassTable:
    return ClassTable.of(images, images.class_names)


OBJECTIVES: dict[str, Callable[[], nn.Module]] = {
    "prototypical": lambda: Episodic(embedder(), losses.PrototypicalCrossEntropy()),
    "icnn": lambda: Episodic(embedder(), losses.ICNN()),
    "mixed_queries": lambda: MixedEpisodic(embedder(), losses.PrototypicalCrossEntropy(), Metrix("feature")),
    "contrastive": lambda: Plain(embedder(), losses.Contrastive()),
    "proxy_anchor": lambda: Plain(embedder(), losses.ProxyAnchor(CLASSES, DIM)),
    "margin": lambda: Plain(embedder(), losses.Margin(CLASSES)),
    "memory": lambda: Plain(embedder(), CrossBatchMemory(losses.MultiSimilarity(), DIM, size=25)),
    "metrix_pairs": lambda: Mixed(embedder(), losses.MultiSimilarity(), Metrix("embedding")),
    "metrix_proxies": lambda: Mixed(embedder(), losses.ProxyAnchor(CLASSES, DIM), Metrix("embedding")),
}
EPISODIC = ("prototypical", "icnn", "mixed_queries")


def trained(name: str, processes: Processes) -> dict[str, Tensor]:
    """Parameters, buffers, gradients, mean figures and own images after three steps of an objective.

    5 episodes, or 13 images: neither 2 nor 3 processes have equal shares.
    """
    images = pictures()
    sampler: EpisodeSampler | ClassesByImages
    if name in EPISODIC:
        sampler = EpisodeSampler(tables(images), 3, 2, 3, seed=1, stream="train", episodes=5)
    else:
        sampler = Uneven(tables(images), classes=5, images=3, seed=1)
    feed = feed_for(images, sampler, AUGMENT, CPU, processes)
    module = OBJECTIVES[name]().train()
    together = processes.trained_together(module)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.01)
    found: dict[str, Tensor] = {}
    for step in range(3):
        batch = feed(step)
        loss, logs = together(batch, generator(0, "objective", step))
        optimizer.zero_grad()
        loss.backward()
        for figure, value in processes.means({"loss": loss.detach(), **logs}).items():
            found[f"{figure} {step}"] = value
        optimizer.step()
        found[f"own images {step}"] = batch.images
    found |= {f"gradient {key}": p.grad for key, p in module.named_parameters() if p.grad is not None}
    return found | {f"state {key}": value.clone() for key, value in module.state_dict().items()}


class Uneven(ClassesByImages):
    """Batches of a number of images that no number of processes divides."""

    def step(self, step: int) -> Any:
        return super().step(step)[:13]


def gathered(processes: Processes) -> dict[str, Tensor]:
    """The gradient of a scalar of gathered rows, in float64, and that of the scalar of all rows."""
    every = torch.randn(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    share = processes.share(7)
    own = (every if share is None else every[share.part]).clone().requires_grad_()
    rows = own if share is None else share.gather(own)
    (rows @ rows.T).sin().sum().backward()
    assert own.grad is not None
    return {"rows": rows.detach(), "gradient": own.grad / processes.count}


def evaluated(processes: Processes) -> dict[str, Tensor]:
    """Features, predictions and neighbours of classes; 64 images in batches of 7, and in a single batch."""
    images = pictures()
    network = embedder().eval()
    every = np.arange(len(images))
    found = embed(network, images, every, batch_size=7, processes=processes)
    single = embed(network, images, every, batch_size=100, processes=processes)
    testbed = draw_testbed(tables(images), "test", ways=4, shots=3, queries=2, episodes=20, seed=0)
    curve = shot_curve(found, testbed, NearestPrototype(), [1, 3], block=3, processes=processes)
    one_block = shot_curve(found, testbed, NearestPrototype(), [2], block=20, processes=processes)
    sampler = HardClasses(tables(images), classes=4, images=2, group=2, refresh=1)
    feed = feed_for(images, sampler, AUGMENT, CPU, processes)
    feed.refresh(network, sampler.steps_per_epoch)  # type: ignore[attr-defined]
    assert sampler.neighbours is not None
    return {
        "features": found.features,
        "single": single.features,
        "1-shot": torch.from_numpy(curve[1].predictions),
        "3-shot": torch.from_numpy(curve[3].predictions),
        "one block": torch.from_numpy(one_block[2].predictions),
        "neighbours": torch.from_numpy(sampler.neighbours),
    }


def rested(processes: Processes) -> dict[str, Tensor]:
    """Which parameters have a gradient in a step without the backbone, and in the next one with it."""
    images = pictures()
    sampler = ClassesByImages(tables(images), classes=4, images=3, seed=1)
    feed = feed_for(images, sampler, AUGMENT, CPU, processes)
    module = OBJECTIVES["contrastive"]().train()
    head_only = HeadOnly(module, module.embedder, 1)  # type: ignore[arg-type]
    together = processes.trained_together(module)
    found = {}
    for step in range(2):
        head_only.before(step)
        module.zero_grad()
        together(feed(step), generator(0, "objective", step))[0].backward()
        found[f"with gradient {step}"] = torch.tensor([p.grad is not None for p in module.parameters()])
    return found


class Spoilt(Episodic):
    """Its loss is not a number in one step on one process, though its gradient is finite."""

    def __init__(self, bad: bool) -> None:
        super().__init__(embedder(), losses.PrototypicalCrossEntropy())
        self.embedder._batchnorm_frozen = False
        self.bad = bad
        self.steps = 0

    def forward(self, batch: Batch, generator: torch.Generator | None = None) -> Any:
        loss, logs = super().forward(batch, generator)
        self.steps += 1
        return (loss + torch.nan if self.bad and self.steps == 3 else loss), logs


class Lines:
    def __init__(self) -> None:
        self.seen: dict[str, Tensor] = {}

    def scalars(self, values: Any, step: int) -> None:
        self.seen.update({f"{key} {step}": torch.tensor(value) for key, value in values.items()})


def looped(processes: Processes, folder: Path) -> dict[str, Tensor]:
    """Figures and validated state of the loop: running statistics differ by share, and the last process has
    a loss that is not finite in the third step."""
    images = pictures()
    sampler = EpisodeSampler(tables(images), 3, 2, 3, seed=1, stream="train", episodes=4)
    module = Spoilt(bad=processes.rank == processes.count - 1)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.01)
    lines = Lines()

    def validate(network: Embedder) -> dict[str, float]:
        lines.seen |= {f"validated {key}": value.clone() for key, value in network.state_dict().items()}
        return {"accuracy": 0.5}

    folder = processes.told_by_first(lambda: folder / f"run of {processes.count}")
    folder.mkdir(exist_ok=True)
    outcome = train(
        module,
        feed_for(images, sampler, AUGMENT, CPU, processes),
        optimizer,
        Schedule(optimizer, None, "step", 0, 1),
        Machine(CPU, "float32", 1, processes),
        LoopOptions(steps=4, seed=0, log_every=1, validate_every=4, ema=0.5, clip_norm=1.0),
        validate=validate,
        monitor="accuracy",
        tracker=lines,
        folder=folder,
        card=lambda _: {},
    )
    found = {key: value for key, value in lines.seen.items() if not key.startswith("seconds")}
    return {"skipped": torch.tensor(outcome.skipped), **found}


def everything(processes: Processes, folder: Path) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """What the process has of all work, by name; runs of the loop go into `folder`."""
    for name in OBJECTIVES:
        yield name, trained(name, processes)
    yield "gathered", gathered(processes)
    yield "evaluated", evaluated(processes)
    yield "rested", rested(processes)
    yield "looped", looped(processes, folder)


def agreement(processes: Processes) -> dict[str, Any]:
    """What the processes find out about one another."""
    return {
        "highest": processes.highest(15 if processes.rank == 1 else 0),
        "told": processes.told_by_first(lambda: f"by {processes.rank}"),
    }
