"""Reservoir and herding: who stays."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from tiny_streams import CLASSES, SIZE, embedder

from fewshot.continual.buffer import Buffer
from fewshot.continual.herding import herd, place_in_class
from fewshot.errors import InputError


def numbered(n: int) -> torch.Tensor:
    """uint8 images whose first two pixels say their number."""
    images = torch.zeros(n, 1, SIZE, SIZE, dtype=torch.uint8)
    images[:, 0, 0, 0], images[:, 0, 0, 1] = torch.arange(n) % 256, torch.arange(n) // 256
    return images


def numbers(buffer: Buffer) -> list[int]:
    images = buffer.images[: buffer.filled].long()
    return (images[:, 0, 0, 0] + 256 * images[:, 0, 0, 1]).tolist()


def test_every_image_met_is_kept_with_the_same_chance() -> None:
    counts, network = torch.zeros(40), embedder()
    for seed in range(400):
        buffer = Buffer(8, network, seed=seed)
        buffer.reservoir(numbered(40), torch.arange(40) % 5)
        kept = numbers(buffer)
        assert len(set(kept)) == 8 and buffer.met == 40
        assert buffer.labels.tolist() == [n % 5 for n in kept]
        counts[kept] += 1
    expected = 400 * 8 / 40
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    assert chi_square < 39 + 4 * math.sqrt(2 * 39)


def test_blocks_of_any_size_and_floating_images_are_kept_alike() -> None:
    found = []
    for block in (1, 7, 40):
        buffer = Buffer(9, embedder(), logits=CLASSES, seed=3)
        for first in range(0, 40, block):
            some = torch.arange(first, min(first + block, 40))
            images = numbered(40)[some]
            images = images.float() / 255 if block == 7 else images
            buffer.reservoir(images, some % 5, some[:, None].repeat(1, CLASSES).float())
        found.append(numbers(buffer))
        assert buffer.logits[:, 0].tolist() == found[-1]
    assert found[0] == found[1] == found[2]


def test_draws_are_without_replacement_of_what_is_there() -> None:
    buffer = Buffer(10, embedder())
    draw = torch.Generator().manual_seed(0)
    assert buffer.draw(3, draw).tolist() == []
    buffer.reservoir(numbered(4), torch.arange(4))
    assert sorted(buffer.draw(9, draw).tolist()) == [0, 1, 2, 3]
    assert len(set(buffer.draw(2, draw).tolist())) == 2
    with pytest.raises(InputError, match="buffer_size=0 must be at least 1"):
        Buffer(0, embedder())


def test_the_second_image_takes_the_only_place_half_the_time() -> None:
    """Where one image more or less in the draw would show most."""
    network, kept = embedder(), []
    for seed in range(400):
        buffer = Buffer(1, network, seed=seed)
        buffer.reservoir(numbered(2), torch.arange(2))
        kept.append(int(buffer.labels[0]))
    assert abs(sum(kept) / 400 - 1 / 2) < 0.1  # four standard deviations


def naive_herd(features: list[list[float]], quota: int) -> list[int]:
    unit = [[x / math.sqrt(sum(y * y for y in f)) for x in f] for f in features]
    dim = len(unit[0])
    mean = [sum(f[d] for f in unit) / len(unit) for d in range(dim)]
    chosen: list[int] = []
    while len(chosen) < min(quota, len(unit)):
        k = len(chosen) + 1

        def away(i: int, k: int = k) -> float:
            new = [(sum(unit[j][d] for j in chosen) + unit[i][d]) / k for d in range(dim)]
            return sum((m - x) ** 2 for m, x in zip(mean, new, strict=True))

        chosen.append(min((i for i in range(len(unit)) if i not in chosen), key=away))
    return chosen


@pytest.mark.parametrize("quota", [1, 4, 30])
def test_herding_is_the_algorithm(quota: int) -> None:
    draw = torch.Generator().manual_seed(1)
    labels = torch.tensor([7] * 12 + [2] * 3 + [5] * 9)[torch.randperm(24, generator=draw)]
    features = torch.randn(24, 6, generator=draw, dtype=torch.float64)
    expected = []
    for c in (2, 5, 7):
        rows = (labels == c).nonzero().flatten()
        expected += rows[naive_herd(features[rows].tolist(), quota)].tolist()
    assert herd(features, labels, quota).tolist() == expected


def test_herded_means_are_closer_than_random_ones() -> None:
    draw = torch.Generator().manual_seed(2)
    features = F.normalize(torch.randn(200, 8, generator=draw), dim=1)
    mean = features.mean(0)
    chosen = features[herd(features, torch.zeros(200, dtype=torch.int64), 10)]
    random = [features[torch.randperm(200, generator=draw)[:10]].mean(0) for _ in range(50)]
    assert (chosen.mean(0) - mean).norm() < 0.5 * min((r - mean).norm() for r in random)


def test_places_count_the_rows_of_the_same_label_before() -> None:
    labels = torch.tensor([2, 1, 2, 2, 1, 0])
    assert place_in_class(labels).tolist() == [0, 0, 1, 2, 1, 0]
    assert place_in_class(labels[:0]).tolist() == []
