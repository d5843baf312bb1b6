"""The loop that users of EasyFSL write: its sampler and collate function, a DataLoader of JPEG files."""

from __future__ import annotations

import importlib
import json
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler
from torchvision import transforms

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
NO_END = 10**6
"""Tasks in the loader."""


def conv4() -> nn.Sequential:
    """The published Conv4: convolution with bias, BatchNorm, ReLU, pool."""
    blocks: list[nn.Module] = []
    for channels in (3, 64, 64, 64):
        blocks += [nn.Conv2d(channels, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*blocks, nn.Flatten())


class EasyFSLLoop:
    """Contiguous float32, one optimizer step a task, support and query embedded one after the other: as in
    its notebook of episodic training.

    Its scores are squared before the loss, as in the paper and in our loss, so that both learn the same. Its
    TaskSampler calls `super().__init__(data_source=None)`, which the Sampler of a current torch refuses: here
    that class is given an `__init__` that takes it.

    Args:
        classes: folders of the classes to train on.
        specs: where to write the list of them that its data set reads.
        task: ways, shots, queries.
        workers: of the DataLoader.
        seed: of the weights, the tasks and the transforms.
    """

    def __init__(
        self,
        classes: Sequence[Path],
        specs: Path,
        size: int,
        task: tuple[int, int, int],
        device: torch.device,
        workers: int,
        seed: int,
    ) -> None:
        random.seed(seed)
        torch.manual_seed(seed)
        Sampler.__init__ = lambda self, data_source=None: None  # type: ignore[method-assign,misc,assignment]
        specs.write_text(
            json.dumps({"class_names": [c.name for c in classes], "class_roots": list(map(str, classes))})
        )
        dataset = importlib.import_module("easyfsl.datasets").EasySet(
            specs,
            transform=transforms.Compose(
                [
                    transforms.RandomCrop(size, padding=round(0.1 * size)),
                    transforms.RandomHorizontalFlip(),
                    transforms.ToTensor(),
                    transforms.Normalize(MEAN, STD),
                ]
            ),
        )
        sampler = importlib.import_module("easyfsl.samplers").TaskSampler(dataset, *task, NO_END)
        self.loader: DataLoader[Any] = DataLoader(
            dataset,
            batch_sampler=sampler,
            num_workers=workers,
            pin_memory=device.type == "cuda",
            collate_fn=sampler.episodic_collate_fn,
        )
        self.device = device
        self.backbone = conv4().to(device).train()
        methods = importlib.import_module("easyfsl.methods")
        self.method = methods.PrototypicalNetworks(self.backbone).to(device)
        self.optimizer = torch.optim.Adam(self.backbone.parameters(), lr=1e-3)
        self.tasks: Iterator[Any] = iter(self.loader)

    def times(self, steps: int, read: Callable[[], float]) -> list[float]:
        """Seconds of each of so many further steps."""
        spent = []
        for _ in range(steps):
            began = read()
            self._step(*next(self.tasks)[:4])
            spent.append(read() - began)
        return spent

    def _step(
        self, support_images: Tensor, support_labels: Tensor, query_images: Tensor, query_labels: Tensor
    ) -> None:
        self.optimizer.zero_grad()
        self.method.process_support_set(support_images.to(self.device), support_labels.to(self.device))
        scores = self.method(query_images.to(self.device))
        loss = nn.functional.cross_entropy(-scores.square(), query_labels.to(self.device))
        loss.backward()
        self.optimizer.step()
        loss.item()  # the notebook's progress bar shows it


class AsEmbedder(nn.Module):
    """A backbone on normalised images, as our evaluation calls a network."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def embed(self, images: Tensor) -> Tensor:
        mean, std = (torch.tensor(of, device=images.device).view(1, -1, 1, 1) for of in (MEAN, STD))
        made: Tensor = self.backbone((images.float() / 255 - mean) / std)
        return made
