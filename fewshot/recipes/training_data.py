"""The classes of a run: those it trains on, and those that choose its weights."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import torch
from omegaconf import DictConfig, open_dict

from fewshot.config import instantiate
from fewshot.data.catalogue import open_image_set
from fewshot.data.held_out import hold_out
from fewshot.data.image_set import ImageSet
from fewshot.data.source import Source
from fewshot.errors import InputError
from fewshot.sampling.class_table import ClassTable


@dataclass(frozen=True)
class TrainingData:
    """What a run may see of a data set; its test classes are no part of it.

    Attributes:
        source, image_set: the data set and its images.
        base: the classes to train on.
        validation: the classes to choose weights by; None if nothing is chosen.
        held_out: whether those are training classes, set aside since the split has no validation part.
    """

    source: Source
    image_set: ImageSet
    base: ClassTable
    validation: ClassTable | None
    held_out: bool

    def selection(self, measure: str) -> str:
        """One line on how the weights are chosen, which every result carries.

        Args:
            measure: what is measured on the validation classes, such as "Recall@1".
        """
        if self.validation is None:
            return "last weights, no selection"
        kind = "held-out training" if self.held_out else "validation"
        return f"chosen on {len(self.validation.classes)} {kind} classes ({measure})"


def training_data(config: DictConfig, protocol: str, device: torch.device) -> TrainingData:
    """Open the data set of a run and divide its classes.

    `data.split=null` becomes the split that the protocol means, so that the saved config names it.

    Args:
        config: of the run.
        protocol: whose published split null means: few_shot or retrieval.
        device: where the images go with `data.residency=device`.

    Raises:
        InputError: the data set can't be opened, or its split has too few classes.
    """
    every, share = config.validation.every, config.validation.get("held_out", 0.0)
    if not 0 <= share < 1:
        raise InputError(f"validation.held_out={share} must be at least 0 and below 1, a share of classes")
    source: Source = instantiate(config.data, offered={"protocol": protocol})
    with open_dict(config):
        config.data.split = source.split
    image_set = open_image_set(source, device)
    split = source.class_split(image_set.class_names)
    held_out = bool(every) and not split.val
    if held_out:
        if not share:
            raise InputError(
                f"data={source.name} split={source.split} has no validation classes to choose by: set "
                "validation.held_out to a share of the training classes, or validation.every=0"
            )
        count = len(split.part("train"))
        split = hold_out(split, share, config.seed)
        print(
            f"split {source.split} has no validation classes: {len(split.val)} of {count} training classes "
            "are held out to choose by",
            file=sys.stderr,
        )
    base = ClassTable.of(image_set, split.part("train"))
    validation = ClassTable.of(image_set, split.part("val")) if every else None
    return TrainingData(source, image_set, base, validation, held_out)
