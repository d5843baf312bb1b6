"""Batches hold the images that their labels name, and depend on the step alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from fewshot.data.augmentation import Augmentation, RandomCrop
from fewshot.data.image_set import ImageSet
from fewshot.sampling.class_table import ClassTable
from fewshot.sampling.classes_by_images import ClassesByImages
from fewshot.sampling.episodes import EpisodeSampler
from fewshot.sampling.feed import AdaptiveFeed, EpisodeFeed, Feed, PlainFeed, feed_for
from fewshot.sampling.shuffled import ShuffledBatches

CPU = torch.device("cpu")
SIZES = (9, 12, 10, 11, 13, 9)
CHOSEN = ("class 4", "class 0", "class 3", "class 2")
"""Neither all classes nor in the order of their numbers."""
KINDS = ["episodes", "shuffled", "classes by images"]
PLAIN = Augmentation()
SHIFT = Augmentation(shift=RandomCrop(padding=0.5, border="zero"))


@pytest.fixture(scope="module")
def images() -> ImageSet:
    """Every pixel of an image is 40 times the number of its class plus its number within the class."""
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(SIZES)), SIZES))
    within = np.array([(labels[:place] == label).sum() for place, label in enumerate(labels)])
    pixels = torch.from_numpy((40 * labels + within).astype(np.uint8))[:, None, None, None]
    return ImageSet(
        pixels.repeat(1, 1, 4, 4), torch.from_numpy(labels), tuple(f"class {i}" for i in range(len(SIZES)))
    )


def feed_of(images: ImageSet, kind: str, augment: Augmentation = PLAIN, seed: int = 0) -> Feed:
    table = ClassTable.of(images, CHOSEN)
    sampler: EpisodeSampler | ShuffledBatches | ClassesByImages
    if kind == "episodes":
        sampler = EpisodeSampler(table, ways=3, shots=2, queries=4, seed=seed, stream="train", episodes=2)
    elif kind == "classes by images":
        sampler = ClassesByImages(table, classes=3, images=4, seed=seed, stream="train")
    else:
        sampler = ShuffledBatches(table, batch=7, seed=seed, stream="train")
    return feed_for(images, sampler, augment, CPU)


def classes_shown(batch_images: Tensor) -> Tensor:
    """The class number that the first pixel of each image encodes."""
    return (batch_images[:, 0, 0, 0] * 255).round().long() // 40


@pytest.mark.parametrize("kind", KINDS)
def test_labels_are_rows_of_the_table_and_match_the_images(images: ImageSet, kind: str) -> None:
    feed = feed_of(images, kind)
    number_of_row = torch.tensor([int(name.split()[1]) for name in CHOSEN])
    seen = set()
    for step in range(12):
        batch = feed(step)
        assert batch.images.dtype == torch.float32 and batch.images.shape[1:] == (1, 4, 4)
        assert batch.labels.dtype == torch.int64 and len(batch.labels) == len(batch.images)
        assert torch.equal(number_of_row[batch.labels], classes_shown(batch.images))
        seen |= set(batch.labels.tolist())
    assert seen == set(range(len(CHOSEN)))


@pytest.mark.parametrize("kind", KINDS)
def test_the_largest_class_is_counted(images: ImageSet, kind: str) -> None:
    feed = feed_of(images, kind)
    counted = set()
    for step in range(12):
        batch = feed(step)
        assert batch.largest_class == max(batch.labels.tolist().count(label) for label in range(4))
        counted.add(batch.largest_class)
    if kind == "shuffled":
        assert len(counted) > 1
    else:
        # Two episodes of 3 of the 4 classes share a way.
        assert counted == {{"episodes": 12, "classes by images": 4}[kind]}


@pytest.mark.parametrize(("shots", "queries"), [(2, 4), (3, 3)])
def test_one_episode_has_shots_and_queries_of_each_class(images: ImageSet, shots: int, queries: int) -> None:
    table = ClassTable.of(images, CHOSEN)
    sampler = EpisodeSampler(table, ways=3, shots=shots, queries=queries, seed=0, stream="train")
    batch = feed_for(images, sampler, PLAIN, CPU)(0)
    assert batch.largest_class == 6 and batch.episodes == (1, 3, shots, queries)
    assert sorted(batch.labels.bincount().tolist())[-3:] == [6, 6, 6]


def test_the_images_of_an_episode_lie_class_by_class(images: ImageSet) -> None:
    feed = feed_of(images, "episodes")
    for step in range(5):
        batch = feed(step)
        assert batch.episodes == (2, 3, 2, 4)
        values = (batch.images[:, 0, 0, 0] * 255).round().long().reshape(2, 3, 6)
        labels = batch.labels.reshape(2, 3, 6)
        assert (labels == labels[:, :, :1]).all()
        for episode, ways in zip(values, labels[:, :, 0], strict=True):
            assert len(set(ways.tolist())) == 3
            # Support and query are disjoint: no image occurs twice.
            assert len(set(episode.flatten().tolist())) == 18


def test_an_epoch_of_batches_shows_each_image_at_most_once(images: ImageSet) -> None:
    feed = feed_of(images, "shuffled")
    assert feed.steps_per_epoch == (13 + 9 + 11 + 10) // 7
    for epoch in range(3):
        steps = range(epoch * feed.steps_per_epoch, (epoch + 1) * feed.steps_per_epoch)
        shown = torch.cat([feed(step).images[:, 0, 0, 0] for step in steps]).tolist()
        assert len(set(shown)) == len(shown) == 42
        assert feed(steps[0]).episodes is None


@pytest.mark.parametrize("kind", KINDS)
def test_the_step_is_the_whole_state(images: ImageSet, kind: str) -> None:
    first, second = feed_of(images, kind, SHIFT), feed_of(images, kind, SHIFT)
    forward = [first(step) for step in range(4)]
    for step in (3, 0, 2, 1):
        again = second(step)
        assert torch.equal(again.images, forward[step].images)
        assert torch.equal(again.labels, forward[step].labels)
    other = feed_of(images, kind, SHIFT, seed=1)(0)
    assert not torch.equal(other.images, forward[0].images)


@pytest.mark.parametrize("kind", KINDS)
def test_the_augmentation_changes_with_the_step_and_no_other_generator(images: ImageSet, kind: str) -> None:
    seen: list[Tensor] = []

    def augment(pixels: Tensor, generator: torch.Generator) -> Tensor:
        seen.append(torch.rand(4, generator=generator))
        return pixels.float() / 255

    table = ClassTable.of(images, CHOSEN)
    sampler = feed_of(images, kind).sampler  # type: ignore[attr-defined]
    assert sampler.table.names == table.names
    feed = feed_for(images, sampler, augment, CPU)
    before = torch.get_rng_state()
    for step in (0, 1, 0):
        feed(step)
    assert torch.equal(seen[0], seen[2]) and not torch.equal(seen[0], seen[1])
    assert torch.equal(torch.get_rng_state(), before)


def test_the_feed_follows_the_sampler(images: ImageSet) -> None:
    assert isinstance(feed_of(images, "episodes"), EpisodeFeed)
    for kind in ("shuffled", "classes by images"):
        assert isinstance(feed_of(images, kind), PlainFeed)
    assert not any(isinstance(feed_of(images, kind), AdaptiveFeed) for kind in KINDS)
    assert feed_of(images, "episodes").steps_per_epoch == 50


@pytest.mark.parametrize("residency", ["ram", "memmap", "device"])
def test_the_residency_does_not_change_a_batch(
    images: ImageSet, tmp_path: Path, residency: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fewshot.data.catalogue import open_image_set
    from fewshot.data.sources.glyphs import Glyphs

    monkeypatch.setenv("FEWSHOT_DATA", str(_glyphs(tmp_path)))
    source = Glyphs(images_per_class=2)
    batches = []
    for kept in (residency, "ram"):
        opened = open_image_set(source, CPU, kept)
        table = ClassTable.of(opened, source.class_split(opened.class_names).test)
        sampler = EpisodeSampler(table, ways=5, shots=1, queries=1, seed=0, stream="train")
        batches.append(feed_for(opened, sampler, SHIFT, CPU)(3))
    assert torch.equal(batches[0].images, batches[1].images)
    assert batches[0].images.device == batches[0].labels.device == CPU


_packed: dict[str, Path] = {}


def _glyphs(tmp_path: Path) -> Path:
    """A data folder that is packed once for the whole file."""
    return _packed.setdefault("root", tmp_path)
