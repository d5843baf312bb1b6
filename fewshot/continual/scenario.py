"""The stream of a scenario: which classes come when, and which images of them are trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fewshot.data.image_folds import TRAIN
from fewshot.data.image_set import ImageSet
from fewshot.errors import InputError
from fewshot.randomness import stream_bits
from fewshot.sampling.class_table import ClassTable

CLASS_ORDERS = ("natural", "seeded")


@dataclass(frozen=True, eq=False)
class Task:
    """One task of a stream.

    Attributes:
        name: "1", "2", ...; of a domain, its own.
        classes: int64 [k], places in the stream's order of classes.
        train, evaluated: image numbers, int64 [n] each, ascending; no image is in both.
    """

    name: str
    classes: NDArray[np.int64]
    train: NDArray[np.int64]
    evaluated: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Scenario:
    """Tasks in the order in which they come.

    Attributes:
        class_names: of the stream, in its order.
        labels: int64 [images of the set], the place of each image's class in that order; -1 for none.
        tasks: in order.
    """

    class_names: tuple[str, ...]
    labels: NDArray[np.int64]
    tasks: tuple[Task, ...]

    def training_table(self, tasks: Sequence[int]) -> ClassTable:
        """The training images of some tasks; the table's classes are places in the stream's order."""
        images = np.concatenate([self.tasks[task].train for task in tasks])
        labels = self.labels[images]
        classes, rows, counts = np.unique(labels, return_inverse=True, return_counts=True)
        table = np.full((len(classes), int(counts.max())), -1, dtype=np.int64)
        table[np.arange(table.shape[1]) < counts[:, None]] = images[np.argsort(rows, kind="stable")]
        names = tuple(self.class_names[place] for place in classes)
        return ClassTable(classes, names, table, counts.astype(np.int64))


def class_incremental(
    image_set: ImageSet,
    folds: NDArray[np.int8],
    evaluated: int,
    *,
    tasks: int,
    first_task: int | None = None,
    class_order: str = "natural",
    classes: int | None = None,
    shots: int | None = None,
    seed: int = 0,
) -> Scenario:
    """New classes in each task.

    Args:
        image_set: whose classes, all of them, are divided.
        folds: int8 [n], of its images (`image_folds`).
        evaluated: the fold that is evaluated: VALIDATION or TEST.
        tasks: how many.
        first_task: classes of the first task; None for as many as the others have. Where the (other) tasks
            cannot have equally many, the first of them have one more.
        class_order: natural (that of the image set, sorted by name) or seeded (drawn from `seed`).
        classes: take only so many, the first ones of the order; None for all.
        shots: training images of each class after the first task, drawn from `seed`: few-shot
            class-incremental learning (Tao et al. 2020). None for all.
        seed: of the order and of the shots.

    Raises:
        InputError: the numbers do not fit the classes.
    """
    order = _order(image_set, class_order, classes, seed)
    labels = _places(image_set, order)
    names = tuple(image_set.class_names[number] for number in order)
    made = []
    ends = np.cumsum(sizes(len(order), tasks, first_task))
    for number, end in enumerate(ends):
        places = np.arange(0 if number == 0 else ends[number - 1], end)
        inside = np.isin(labels, places)
        train = np.flatnonzero(inside & (folds == TRAIN))
        if shots is not None and number > 0:
            train = _few(train, labels, shots, seed, names)
        made.append(Task(str(number + 1), places, train, np.flatnonzero(inside & (folds == evaluated))))
    return Scenario(names, labels, tuple(made))


def domain_incremental(
    image_set: ImageSet, folds: NDArray[np.int8], evaluated: int, *, order: str = "natural", seed: int = 0
) -> Scenario:
    """All classes in each task, in another domain: classes of the image set are called DOMAIN/CLASS.

    Args:
        image_set, folds, evaluated: as in `class_incremental`.
        order: of the domains, natural or seeded.
        seed: of a seeded order.

    Raises:
        InputError: a class has no domain, there is one domain alone, or a domain lacks a class.
    """
    flat = [name for name in image_set.class_names if "/" not in name]
    if flat:
        raise InputError(
            f"scenario.domains: class {flat[0]!r} lies in no domain; the folders must be DOMAIN/CLASS"
        )
    pairs = [name.split("/", 1) for name in image_set.class_names]
    domains = sorted({domain for domain, _ in pairs})
    names = tuple(sorted({name for _, name in pairs}))
    if len(domains) < 2:
        raise InputError(f"scenario.domains: {domains[0]!r} is the only domain; two are needed")
    for domain in domains:
        absent = sorted(set(names) - {name for other, name in pairs if other == domain})
        if absent:
            raise InputError(
                f"scenario.domains: domain {domain!r} has no class {absent[0]!r}; every domain needs all"
            )
    place_of = np.array([names.index(name) for _, name in pairs])
    domain_of = np.array([domains.index(domain) for domain, _ in pairs])
    numbers = image_set.labels.numpy()
    made = []
    for domain_number in _permutation(len(domains), order, seed, "domain order"):
        inside = domain_of[numbers] == domain_number
        made.append(
            Task(
                domains[domain_number],
                np.arange(len(names)),
                np.flatnonzero(inside & (folds == TRAIN)),
                np.flatnonzero(inside & (folds == evaluated)),
            )
        )
    return Scenario(names, place_of[numbers], tuple(made))


def sizes(classes: int, tasks: int, first_task: int | None) -> list[int]:
    """Classes of each task; where they cannot be equal, the first ones (after `first_task`) have one more.

    Raises:
        InputError: a task would have no class, or classes would be left over.
    """
    if tasks < 1:
        raise InputError(f"tasks={tasks} must be at least 1")
    if tasks > classes:
        raise InputError(f"tasks={tasks}, but there are {classes} classes, and each task needs one")
    if first_task is None:
        return _equal(classes, tasks)
    if first_task < 1:
        raise InputError(f"first_task={first_task} must be at least 1 class, or null")
    left, others = classes - first_task, tasks - 1
    if left < others or (others == 0 and left):
        raise InputError(
            f"first_task={first_task} of {classes} classes leaves {max(left, 0)} for {others} further tasks, "
            + ("and none may be left over" if others == 0 else "and each task needs one")
        )
    return [first_task, *(_equal(left, others) if others else [])]


def _equal(classes: int, tasks: int) -> list[int]:
    each, more = divmod(classes, tasks)
    return [each + (number < more) for number in range(tasks)]


def _order(image_set: ImageSet, class_order: str, classes: int | None, seed: int) -> NDArray[np.int64]:
    """int64 [classes], class numbers of the image set in the order of the stream."""
    order = _permutation(len(image_set.class_names), class_order, seed, "class order")
    if classes is None:
        return order
    if not 1 <= classes <= len(order):
        raise InputError(f"scenario.classes={classes} must be from 1 to {len(order)}, the classes there are")
    return order[:classes]


def _permutation(count: int, order: str, seed: int, stream: str) -> NDArray[np.int64]:
    if order not in CLASS_ORDERS:
        raise InputError(f"class_order={order} must be one of {', '.join(CLASS_ORDERS)}")
    if order == "natural":
        return np.arange(count)
    words = stream_bits(seed, stream, np.arange(count), 1)[:, 0]
    return np.argsort(words, kind="stable").astype(np.int64)


def _places(image_set: ImageSet, order: NDArray[np.int64]) -> NDArray[np.int64]:
    place = np.full(len(image_set.class_names), -1, dtype=np.int64)
    place[order] = np.arange(len(order))
    places: NDArray[np.int64] = place[image_set.labels.numpy()]
    return places


def _few(
    images: NDArray[np.int64], labels: NDArray[np.int64], shots: int, seed: int, names: Sequence[str]
) -> NDArray[np.int64]:
    """`shots` of the images of each class, ascending."""
    if shots < 1:
        raise InputError(f"scenario.shots={shots} must be at least 1, or null for all training images")
    classes, counts = np.unique(labels[images], return_counts=True)
    if counts.min() < shots:
        fewest = int(counts.argmin())
        raise InputError(
            f"scenario.shots={shots}, but class {names[classes[fewest]]!r} has {counts[fewest]} to train on"
        )
    keys = stream_bits(seed, "shots", images, 1)[:, 0]
    order = np.lexsort((keys, labels[images]))
    rank = np.arange(len(images)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.sort(images[order[rank < shots]])
