from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from fewshot.data.image_set import ImageSet
from fewshot.data.sources.glyphs import Glyphs
from fewshot.errors import InputError
from fewshot.sampling.class_table import ClassTable
from fewshot.sampling.episodes import EpisodeSampler
from fewshot.sampling.taskset import Taskset

CLASSES, EACH = 9, 12


def taskset(ways: int = 5, shots: int = 2, queries: int = 2, seed: int = 0, num_tasks: int = -1) -> Taskset:
    """Every pixel of image i is i."""
    count = CLASSES * EACH
    images = torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 8, 8).contiguous()
    names = tuple(f"class {i}" for i in range(CLASSES))
    image_set = ImageSet(images, torch.arange(count) // EACH, names)
    table = ClassTable.of(image_set, names)
    return Taskset(image_set, EpisodeSampler(table, ways, shots, queries, seed, "train taskset"), num_tasks)


@pytest.mark.parametrize("shots,queries", [(1, 1), (2, 2), (1, 5), (3, 4)])
def test_supports_are_at_the_even_places(shots: int, queries: int) -> None:
    tasks = taskset(5, shots, queries)
    data, labels = tasks.sample()
    total = 5 * (shots + queries)
    assert data.shape == (total, 1, 8, 8) and data.dtype == torch.float32 and data.max() <= 1
    assert labels.shape == (total,) and labels.dtype == torch.int64
    # How learn2learn's examples divide a task: examples/vision/maml_miniimagenet.py.
    adaptation = np.zeros(total, dtype=bool)
    adaptation[np.arange(shots * 5) * 2] = True
    numbers = (data[:, 0, 0, 0] * 255).round().long()
    assert torch.equal(data[:, 0, 0, 0], numbers / 255)
    drawn = torch.from_numpy(tasks.sampler.draw(np.array([0])).images[0])
    assert torch.equal(numbers[adaptation], drawn[:, :shots].flatten())
    assert torch.equal(numbers[~adaptation], drawn[:, shots:].flatten())
    assert labels[adaptation].bincount().tolist() == [shots] * 5
    assert labels[~adaptation].bincount().tolist() == [queries] * 5
    for way in range(5):
        assert len((numbers[labels == way] // EACH).unique()) == 1
    assert len(numbers.unique()) == total


def test_a_task_depends_on_seed_and_number_alone() -> None:
    first, again = taskset(), taskset()
    drawn = [first.sample() for _ in range(4)]
    assert all(torch.equal(a, b) for i, task in enumerate(drawn) for a, b in zip(task, again[i], strict=True))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(islice(iter(again), 4), drawn, strict=True))
    assert not torch.equal(drawn[0][0], drawn[1][0])
    assert not torch.equal(taskset(seed=1)[0][0], drawn[0][0])


def test_length_and_end() -> None:
    assert len(taskset()) == 1
    endless = Taskset(taskset().image_set, taskset().sampler)
    assert endless.num_tasks == -1 and len(list(islice(iter(endless), 5))) == 5
    some = taskset(num_tasks=3)
    assert len(some) == len(list(some)) == 3
    sampled = [some.sample()[0] for _ in range(4)]
    assert torch.equal(sampled[0], sampled[3])
    with pytest.raises(IndexError):
        some[3]


def test_mistakes_are_one_line() -> None:
    with pytest.raises(InputError, match="queries=1 must be at least shots=2"):
        taskset(shots=2, queries=1)
    with pytest.raises(InputError, match="num_tasks=0"):
        taskset(num_tasks=0)


def test_learn2learns_own_loop_takes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The inner step of its examples, with its algorithm and its network."""
    l2l = pytest.importorskip("learn2learn", reason="the loop is its: make learn2learn")
    monkeypatch.setenv("FEWSHOT_DATA", str(tmp_path))
    tasks = Taskset.of(Glyphs(size=28, images_per_class=2), "val", ways=5, shots=1, queries=1)
    torch.manual_seed(0)
    maml = l2l.algorithms.MAML(l2l.vision.models.OmniglotCNN(5), lr=0.5)
    for data, labels in islice(tasks, 2):
        learner = maml.clone()
        adaptation = np.zeros(10, dtype=bool)
        adaptation[np.arange(5) * 2] = True
        loss = torch.nn.functional.cross_entropy(learner(data[adaptation]), labels[adaptation])
        learner.adapt(loss)
        after = torch.nn.functional.cross_entropy(learner(data[~adaptation]), labels[~adaptation])
        after.backward()
        assert after.isfinite()
