"""Batches of classes near each other: the neighbours, the draws, and what they are taken from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fewshot.data.augmentation import Augmentation
from fewshot.data.image_set import ImageSet
from fewshot.errors import InputError
from fewshot.models.conv4 import Conv4
from fewshot.models.embedder import Embedder
from fewshot.models.heads import NoHead
from fewshot.sampling.class_means import class_means
from fewshot.sampling.class_table import ClassTable
from fewshot.sampling.classes_by_images import ClassesByImages
from fewshot.sampling.feed import AdaptiveFeed, HardClassFeed, feed_for
from fewshot.sampling.hard_classes import HardClasses

CPU = torch.device("cpu")
CLASSES = 24


def images(sizes: list[int], side: int = 1) -> ImageSet:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes)).astype(np.int64)
    pixels = torch.randint(
        256, (len(labels), 1, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    return ImageSet(pixels, torch.from_numpy(labels), tuple(f"class {i}" for i in range(len(sizes))))


def sampler(**options: Any) -> HardClasses:
    made = images([6] * CLASSES)
    return HardClasses(
        ClassTable.of(made, made.class_names), **{"classes": 8, "images": 2, "group": 4, "seed": 0, **options}
    )


def means(dim: int = 5, seed: int = 0) -> Tensor:
    return torch.randn(CLASSES, dim, generator=torch.Generator().manual_seed(seed))


def nearest(means: Tensor) -> list[list[int]]:
    """All other classes of each, by falling cosine."""
    table = []
    for i, a in enumerate(means.tolist()):
        cosine = []
        for j, b in enumerate(means.tolist()):
            length = (sum(x * x for x in a) * sum(x * x for x in b)) ** 0.5
            cosine.append((sum(x * y for x, y in zip(a, b, strict=True)) / length, j))
        table.append([j for _, j in sorted(cosine, reverse=True) if j != i])
    return table


def rows(drawn: np.ndarray, hard: HardClasses) -> list[int]:
    """The classes of a batch, in its order."""
    row_of = {image: row for row, images in enumerate(hard.table.images.tolist()) for image in images}
    return [row_of[first] for first in drawn.reshape(hard.classes, -1)[:, 0].tolist()]


@pytest.mark.parametrize("block", [1024, 5])
def test_neighbours_are_the_nearest_by_cosine(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fewshot.sampling.hard_classes._BLOCK", block)
    hard, points = sampler(), means()
    hard.observe(points)
    assert hard.neighbours is not None
    assert hard.neighbours.tolist() == [order[:7] for order in nearest(points)]
    hard.observe(3 * points)
    assert hard.neighbours.tolist() == [order[:7] for order in nearest(points)]


@pytest.mark.parametrize("classes,group", [(8, 4), (8, 8), (7, 3), (5, 1), (CLASSES, 6)])
def test_each_group_is_filled_with_the_nearest_that_are_left(classes: int, group: int) -> None:
    hard, points = sampler(classes=classes, group=group), means()
    hard.observe(points)
    order = nearest(points)
    groups = -(-classes // group)
    for step in range(50):
        found = rows(hard.step(step), hard)
        assert len(set(found)) == classes
        seeds, expected = found[:groups], list(found[:groups])
        for seed in seeds:
            left = [c for c in order[seed] if c not in expected]
            expected += left[: min(group - 1, classes - len(expected))]
        assert found == expected


def test_the_seeds_of_groups_leave_no_class_out() -> None:
    hard = sampler()
    hard.observe(means())
    seeds = [row for step in range(2000) for row in rows(hard.step(step), hard)[:2]]
    assert np.bincount(seeds, minlength=CLASSES) / len(seeds) == pytest.approx(1 / CLASSES, rel=0.3)


def test_before_a_look_it_draws_as_classes_by_images() -> None:
    hard = sampler()
    plain = ClassesByImages(hard.table, classes=8, images=2, seed=0)
    before = [hard.step(step) for step in range(5)]
    assert all((plain.step(step) == batch).all() for step, batch in enumerate(before))
    hard.observe(means())
    assert any((hard.step(step) != batch).any() for step, batch in enumerate(before))


def test_state_and_step_are_all_that_a_draw_depends_on() -> None:
    hard, other = sampler(), sampler()
    other.load_state_dict(hard.state_dict())
    assert other.neighbours is None
    hard.observe(means(seed=1))
    other.observe(means(seed=2))
    other.load_state_dict(hard.state_dict())
    for step in (9, 3):
        assert (hard.step(step) == other.step(step)).all()
    assert any((hard.step(step) != sampler(seed=1).step(step)).any() for step in range(3))


def test_the_state_of_other_classes_is_refused() -> None:
    hard = sampler()
    hard.observe(means())
    with pytest.raises(InputError, match=r"are \[24, 7\], those for train must be \[24, 5\]") as caught:
        sampler(classes=6).load_state_dict(hard.state_dict())
    assert "\n" not in str(caught.value)


def test_looks_are_due_every_few_epochs_but_not_before_the_first_step() -> None:
    hard = sampler(refresh=2)
    assert hard.steps_per_epoch == 9
    assert [step for step in range(60) if hard.due(step)] == [18, 36, 54]
    odd = sampler(classes=7)
    assert odd.steps_per_epoch == 24 * 6 // (7 * 2)
    assert [step for step in range(25) if odd.due(step)] == [10, 20]


@pytest.mark.parametrize(
    "change,message",
    [
        ({"group": 9}, "group=9 for train must lie between 1 and sampler.classes=8"),
        ({"group": 0}, "group=0"),
        ({"refresh": 0}, "refresh=0"),
        ({"images_for_means": 0}, "images_for_means=0"),
        ({"classes": 25}, "only 24 classes"),
    ],
)
def test_impossible_settings_are_one_clear_line(change: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        sampler(**change)
    assert "\n" not in str(caught.value)


def embedder() -> Embedder:
    torch.manual_seed(0)
    return Embedder(Conv4(1, width=4, depth=2), NoHead, mean=[0.5], std=[0.2], size=8, channels=1)


@pytest.mark.parametrize("limit", [4, 100])
def test_class_means_are_those_of_unit_embeddings_in_evaluation_mode(limit: int) -> None:
    sizes = [5, 1, 9, 0, 4]
    image_set, network = images(sizes, side=8), embedder().train()
    table = ClassTable.of(image_set, ["class 4", "class 2", "class 3", "class 1"])
    before = {name: value.clone() for name, value in network.state_dict().items()}
    made = class_means(network, image_set, table, limit, CPU, batch=3)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    network.eval()
    for row, mean in enumerate(made):
        count = int(table.counts[row])
        used = min(count, limit)
        expected = torch.zeros(network.dim, dtype=torch.float64)
        for i in range(used):
            image = int(table.images[row, i * count // used])
            embedding = network(image_set.images[image : image + 1])[0].double().detach()
            expected += embedding / embedding.norm() / used
        torch.testing.assert_close(mean.double(), expected, rtol=1e-4, atol=1e-5)


def test_the_feed_shows_the_embedder_when_a_look_is_due() -> None:
    image_set = images([6] * CLASSES, side=8)
    table = ClassTable.of(image_set, image_set.class_names)
    hard = HardClasses(table, classes=8, images=2, group=4)
    feed = feed_for(image_set, hard, Augmentation(), CPU)
    assert isinstance(feed, HardClassFeed) and isinstance(feed, AdaptiveFeed)
    network = embedder().train()
    for step in (0, 5, 8):
        feed.refresh(network, step)
        assert feed.state_dict() == {"neighbours": None}
    feed.refresh(network, 9)
    expected = nearest(class_means(network, image_set, table, 10, CPU))
    assert feed.state_dict()["neighbours"].tolist() == [order[:7] for order in expected]
    batch = feed(9)
    assert (
        batch.largest_class == 2 and batch.labels.tolist() == np.repeat(rows(hard.step(9), hard), 2).tolist()
    )
