"""How classes, domains and images become tasks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fewshot.continual.scenario import Scenario, class_incremental, domain_incremental, sizes
from fewshot.data.image_folds import TEST, VALIDATION, image_folds
from fewshot.data.image_set import ImageSet
from fewshot.errors import InputError


def image_set(names: list[str], each: int = 10) -> ImageSet:
    labels = torch.arange(len(names)).repeat(each)
    images = torch.arange(len(labels) * 4).reshape(-1, 1, 2, 2).to(torch.uint8)
    return ImageSet(images, labels, tuple(names))


SET = image_set([f"class {i}" for i in range(7)])
FOLDS = image_folds(SET, None, test_share=0.3, validation_share=0.2)


def stream(**settings: Any) -> Scenario:
    return class_incremental(SET, FOLDS, TEST, **{"tasks": 3, **settings})


def test_the_first_tasks_take_the_remainder() -> None:
    assert sizes(7, 3, None) == [3, 2, 2]
    assert sizes(6, 3, None) == [2, 2, 2]
    assert sizes(7, 3, 2) == [2, 3, 2]
    assert sizes(100, 9, 60) == [60, *[5] * 8]
    assert sizes(4, 1, None) == sizes(4, 1, 4) == [4]
    assert sizes(3, 3, 1) == [1, 1, 1]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"tasks": 8}, "tasks=8, but there are 7 classes, and each task needs one"),
        ({"tasks": 0}, "tasks=0 must be at least 1"),
        (
            {"first_task": 6},
            "first_task=6 of 7 classes leaves 1 for 2 further tasks, and each task needs one",
        ),
        ({"first_task": 9}, "first_task=9 of 7 classes leaves 0 for 2 further tasks"),
        ({"first_task": 0}, "first_task=0 must be at least 1 class"),
        ({"first_task": 3, "tasks": 1}, "leaves 4 for 0 further tasks, and none may be left over"),
        ({"class_order": "random"}, "class_order=random must be one of natural, seeded"),
        ({"classes": 8}, "scenario.classes=8 must be from 1 to 7"),
        ({"classes": 2}, "tasks=3, but there are 2 classes"),
        ({"shots": 0}, "scenario.shots=0 must be at least 1, or null"),
        ({"shots": 7}, "scenario.shots=7, but class 'class 3' has 6 to train on"),
    ],
)
def test_what_does_not_fit_is_one_clear_line(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        stream(**settings)
    assert "\n" not in str(caught.value)


def test_every_class_and_image_has_one_task_and_one_use() -> None:
    scenario = stream(class_order="seeded", seed=3)
    places = np.concatenate([task.classes for task in scenario.tasks])
    assert (places == np.arange(7)).all() and sorted(scenario.class_names) == sorted(SET.class_names)
    used = np.concatenate([np.concatenate([task.train, task.evaluated]) for task in scenario.tasks])
    assert len(set(used.tolist())) == len(used)
    assert set(used.tolist()) == set(np.flatnonzero(FOLDS != VALIDATION).tolist())
    for task in scenario.tasks:
        for images in (task.train, task.evaluated):
            assert set(scenario.labels[images]) == set(task.classes)
    names = [SET.class_names[label] for label in SET.labels]
    assert [scenario.class_names[place] for place in scenario.labels] == names


def test_validation_is_measured_in_place_of_the_test_images() -> None:
    tuned = class_incremental(SET, FOLDS, VALIDATION, tasks=3)
    for task, other in zip(tuned.tasks, stream().tasks, strict=True):
        assert (task.train == other.train).all()
        assert not set(task.evaluated) & set(np.flatnonzero(FOLDS == TEST))


def test_the_order_is_natural_or_drawn_from_the_seed() -> None:
    assert stream().class_names == SET.class_names
    assert stream(class_order="seeded").class_names == stream(class_order="seeded").class_names
    assert stream(class_order="seeded").class_names != stream(class_order="seeded", seed=1).class_names


def test_classes_left_out_have_no_label() -> None:
    scenario = stream(classes=4, tasks=2)
    assert len(scenario.class_names) == 4 and sum(len(task.classes) for task in scenario.tasks) == 4
    assert set(scenario.labels) == {-1, 0, 1, 2, 3}


def test_shots_bound_every_task_but_the_first() -> None:
    whole, few = stream(), stream(shots=2)
    assert (few.tasks[0].train == whole.tasks[0].train).all()
    for task, full in zip(few.tasks[1:], whole.tasks[1:], strict=True):
        assert (np.unique(few.labels[task.train], return_counts=True)[1] == 2).all()
        assert set(task.train) < set(full.train) and (task.evaluated == full.evaluated).all()
    assert set(stream(shots=2, seed=5).tasks[1].train) != set(few.tasks[1].train)


def test_the_table_of_tasks_holds_their_training_images() -> None:
    scenario = stream(class_order="seeded")
    table = scenario.training_table([0, 2])
    expected = np.concatenate([scenario.tasks[0].train, scenario.tasks[2].train])
    assert sorted(table.all_images) == sorted(expected)
    for row, place, name in zip(table.images, table.classes, table.names, strict=True):
        assert (scenario.labels[row[row >= 0]] == place).all() and scenario.class_names[place] == name
    assert (table.counts == (table.images >= 0).sum(1)).all()


DOMAINS = [f"{domain}/{name}" for domain in ("photo", "art", "sketch") for name in ("cat", "dog")]


def domains(names: list[str], **settings: Any) -> Scenario:
    images = image_set(names)
    folds = image_folds(images, None, test_share=0.3, validation_share=0.0)
    return domain_incremental(images, folds, TEST, **settings)


def test_a_domain_is_a_task_with_all_classes() -> None:
    scenario = domains(DOMAINS)
    assert [task.name for task in scenario.tasks] == ["art", "photo", "sketch"]
    assert scenario.class_names == ("cat", "dog")
    for task in scenario.tasks:
        assert (task.classes == [0, 1]).all() and len(task.train) == 14 and len(task.evaluated) == 6
        for image in task.train:
            domain, name = DOMAINS[image % 6].split("/")
            assert domain == task.name and scenario.class_names[scenario.labels[image]] == name


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["cat", "art/dog"], "class 'cat' lies in no domain"),
        (["art/cat", "art/dog"], "'art' is the only domain"),
        (["art/cat", "art/dog", "photo/cat"], "domain 'photo' has no class 'dog'"),
    ],
)
def test_incomplete_domains_are_named(names: list[str], says: str) -> None:
    with pytest.raises(InputError, match=says):
        domains(names)
