from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from fewshot.data.image_set import ImageSet
from fewshot.errors import InputError
from fewshot.randomness import generator, stream_bits
from fewshot.sampling.ahead import STEPS, Ahead
from fewshot.sampling.class_table import ClassTable
from fewshot.sampling.episodes import EpisodeSampler
from fewshot.sampling.shuffled import ShuffledBatches
from fewshot.sampling.testbed import draw_testbed
from fewshot.sampling.without_replacement import without_replacement


def image_set(labels: np.ndarray, names: list[str]) -> ImageSet:
    return ImageSet(
        torch.zeros(len(labels), 1, 1, 1, dtype=torch.uint8), torch.from_numpy(labels), tuple(names)
    )


def table(sizes: list[int], seed: int = 0) -> tuple[ClassTable, np.ndarray]:
    """Classes of these sizes whose images lie in a random order."""
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes)).astype(np.int64)
    names = [f"class {i}" for i in range(len(sizes))]
    return ClassTable.of(image_set(labels, names), names), labels


def fisher_yates(words: list[int], size: int) -> list[int]:
    """The plain shuffle, one row: what `without_replacement` must equal."""
    array = list(range(size))
    for i, word in enumerate(words):
        j = i + (((word >> 32) * (size - i)) >> 32)
        array[i], array[j] = array[j], array[i]
    return array[: len(words)]


@pytest.mark.parametrize("size,count", [(1, 1), (5, 5), (6, 5), (40, 20), (600, 20)])
def test_draws_equal_the_plain_shuffle(size: int, count: int) -> None:
    bits = stream_bits(0, "shuffle", np.arange(300), count)
    drawn = without_replacement(bits, np.full(300, size))
    for row, words in zip(drawn, bits, strict=True):
        assert row.tolist() == fisher_yates([int(w) for w in words], size)


def test_rows_may_have_different_sizes() -> None:
    sizes = np.array([3, 50, 4, 1000] * 20)
    drawn = without_replacement(stream_bits(1, "sizes", np.arange(80), 3), sizes)
    assert (drawn < sizes[:, None]).all() and (drawn >= 0).all()
    assert all(len(set(row)) == 3 for row in drawn.tolist())


def test_every_ordered_sample_is_equally_likely() -> None:
    draws = 60_000
    drawn = without_replacement(stream_bits(2, "uniform", np.arange(draws), 3), np.full(draws, 4))
    counts = {order: 0 for order in itertools.permutations(range(4), 3)}
    for row in map(tuple, drawn.tolist()):
        counts[row] += 1
    expected = draws / len(counts)
    chi_squared = sum((count - expected) ** 2 / expected for count in counts.values())
    assert chi_squared < 49.7  # 99.9% point at 23 degrees of freedom


def test_too_few_to_draw_from_is_refused() -> None:
    with pytest.raises(ValueError, match="5 distinct numbers out of 4"):
        without_replacement(stream_bits(0, "few", np.arange(2), 5), np.array([9, 4]))


def test_episodes_are_disjoint_and_of_their_class() -> None:
    classes, labels = table([30, 25, 40, 20, 33, 27])
    sampler = EpisodeSampler(classes, ways=4, shots=5, queries=15, seed=3, stream="train")
    drawn = sampler.draw(np.arange(200))
    assert drawn.images.shape == (200, 4, 20)
    for images, ways in zip(drawn.images, drawn.ways, strict=True):
        assert len(set(images.reshape(-1).tolist())) == 80
        assert len(set(ways.tolist())) == 4
        assert (labels[images] == classes.classes[ways][:, None]).all()


def test_an_episode_depends_on_its_number_alone() -> None:
    classes, _ = table([30] * 10)
    sampler = EpisodeSampler(classes, ways=5, shots=1, queries=5, seed=0, stream="train", episodes=4)
    together = sampler.draw(np.arange(12)).images
    assert (together[[7, 2, 11]] == sampler.draw(np.array([7, 2, 11])).images).all()
    assert (sampler.step(2).images == together[8:12]).all()
    other_seed = EpisodeSampler(classes, ways=5, shots=1, queries=5, seed=1, stream="train")
    other_stream = EpisodeSampler(classes, ways=5, shots=1, queries=5, seed=0, stream="val")
    assert (other_seed.draw(np.arange(12)).images != together).any()
    assert (other_stream.draw(np.arange(12)).images != together).any()


def test_steps_drawn_ahead_are_those_drawn_alone() -> None:
    sampler = EpisodeSampler(table([20] * 10)[0], 3, 2, 4, 7, "train", episodes=2)
    for step in (0, 1, 63, 64, 200, 5, 199, 64):  # within a block of draws, over its end, and back
        drawn, alone = sampler.step(step), sampler.draw(np.array([2 * step, 2 * step + 1]))
        np.testing.assert_array_equal(drawn.images, alone.images)
        np.testing.assert_array_equal(drawn.ways, alone.ways)


def test_steps_are_drawn_a_block_at_a_time() -> None:
    asked: list[list[int]] = []

    def draw(steps: np.ndarray) -> list[int]:
        asked.append(steps.tolist())
        return [10 * step for step in asked[-1]]

    ahead = Ahead(draw)
    assert [ahead(step) for step in (0, 1, STEPS - 1, STEPS, 3 * STEPS + 1, 2)] == [
        0, 10, 10 * STEPS - 10, 10 * STEPS, 30 * STEPS + 10, 20,
    ]  # fmt: skip
    assert asked == [list(range(block * STEPS, (block + 1) * STEPS)) for block in (0, 1, 3, 0)]


def test_all_images_and_classes_are_drawn() -> None:
    classes, labels = table([21, 24, 22])
    images = EpisodeSampler(classes, 2, 5, 15, seed=0, stream="train").draw(np.arange(400)).images
    assert set(images.reshape(-1).tolist()) == set(range(len(labels)))


@pytest.mark.parametrize(
    "change,message",
    [
        ({"ways": 7}, "ways=7, but there are only 6 classes"),
        ({"shots": 10, "queries": 11}, "class 'class 3' has 20 images"),
        ({"shots": 0}, "shots=0"),
        ({"queries": 0}, "queries=0"),
        ({"episodes": 0}, "episodes=0"),
    ],
)
def test_impossible_episodes_are_one_clear_line(change: dict[str, int], message: str) -> None:
    classes, _ = table([30, 25, 40, 20, 33, 27])
    with pytest.raises(InputError, match=message) as caught:
        EpisodeSampler(
            classes, **{"ways": 5, "shots": 5, "queries": 15, "seed": 0, "stream": "train", **change}
        )
    assert "\n" not in str(caught.value)


def test_testbed_is_fixed_and_hashed() -> None:
    classes, labels = table([30] * 8)
    draw = {"ways": 5, "shots": 5, "queries": 10, "seed": 0}
    long, short = (draw_testbed(classes, "test", episodes=n, **draw) for n in (50, 20))
    assert len(short) == 20 and (long.images[:20] == short.images).all()
    assert short.sha256 == draw_testbed(classes, "test", episodes=20, **draw).sha256 != long.sha256
    assert draw_testbed(classes, "val", episodes=20, **draw).sha256 != short.sha256
    assert (labels[short.images] == short.classes[:, :, None]).all()


def test_the_testbed_of_a_seed_never_changes() -> None:
    """A change of these digits would silently make old and new results incomparable."""
    classes, _ = table([20] * 6)
    bed = draw_testbed(classes, "test", ways=5, shots=1, queries=15, episodes=10, seed=0)
    assert bed.sha256 == "122043b28a7f665e94dd7ec8c00e10341f03901b7d1be667868162279f327f4e"


def test_shuffled_batches_cover_an_epoch_once() -> None:
    classes, labels = table([10, 7, 16])
    batches = ShuffledBatches(classes, batch=8, seed=0, stream="train")
    assert batches.steps_per_epoch == 4
    first = np.concatenate([batches.step(i) for i in range(4)])
    second = np.concatenate([batches.step(i) for i in range(4, 8)])
    assert len(set(first.tolist())) == 32
    assert (first != second).any()
    assert sorted(batches.order(0).tolist()) == list(range(len(labels)))
    with pytest.raises(InputError, match=r"sampler\.batch=34"):
        ShuffledBatches(classes, batch=34, seed=0, stream="train")


def test_shuffled_batches_of_any_epoch_are_pieces_of_its_order() -> None:
    sampler = ShuffledBatches(table([20] * 10)[0], batch=60, seed=0, stream="train")
    for step in (0, 1, 2, 3, 7, 2, 0):
        epoch, place = divmod(step, 3)
        np.testing.assert_array_equal(sampler.step(step), sampler.order(epoch)[60 * place : 60 * (place + 1)])


def test_class_table_of_some_classes() -> None:
    labels = np.array([2, 0, 1, 2, 2, 1], dtype=np.int64)
    made = ClassTable.of(image_set(labels, ["a", "b", "c", "empty"]), ["c", "empty", "a"])
    assert made.classes.tolist() == [2, 3, 0]
    assert made.counts.tolist() == [3, 0, 1]
    assert made.images.tolist() == [[0, 3, 4], [-1, -1, -1], [1, -1, -1]]
    assert made.all_images.tolist() == [0, 3, 4, 1]
    with pytest.raises(InputError, match="no class 'd'"):
        ClassTable.of(image_set(labels, ["a", "b", "c"]), ["d"])


def test_streams_are_uniform_and_keyed() -> None:
    bits = stream_bits(0, "a", np.arange(2000), 50)
    unit = bits.astype(np.float64) / 2**64
    assert abs(unit.mean() - 0.5) < 0.005 and abs(unit.var() - 1 / 12) < 0.002
    assert abs(np.corrcoef(unit[:-1, 0], unit[1:, 0])[0, 1]) < 0.08
    assert len(np.unique(bits)) == bits.size
    assert (stream_bits(0, "a", np.array([1234]), 50) == bits[1234]).all()
    draw = [int(generator(0, "a", i).initial_seed()) for i in (0, 1)]
    assert draw[0] != draw[1] == generator(0, "a", 1).initial_seed() != generator(1, "a", 1).initial_seed()
