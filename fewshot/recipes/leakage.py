"""Has the model seen the classes it is tested on? A label that every result carries."""

from __future__ import annotations

import os
from typing import Any

from fewshot.data.source import Source
from fewshot.data.sources.folder import ImageFolder
from fewshot.data.sources.learn2learn import Learn2Learn

# Sets whose classes or images other sets hold as well. miniImageNet and tieredImageNet are parts of
# ImageNet-1k; Stanford Dogs' images come from ImageNet; CUB's and Cars' classes are among its birds
# and cars, 43 of CUB's images too (`ImageNet_CUBirds_duplicates.txt` of Meta-Dataset).
_IN_IMAGENET = {
    "miniimagenet": "its classes are ImageNet classes",
    "tieredimagenet": "its classes are ImageNet classes",
    "dogs": "its images are ImageNet images",
    "cub": "ImageNet has bird classes and some of its images",
    "cars": "ImageNet has car classes",
}
_FAMILIES = ({"miniimagenet", "tieredimagenet"}, {"miniimagenet", "dogs"}, {"tieredimagenet", "dogs"})


def identity(source: Source) -> dict[str, str]:
    """Which images a model is trained on and how their classes are divided: data, images, split."""
    images, split = source.images or source.name, str(source.split)
    if isinstance(source, ImageFolder):
        # Any two folders are different images, and other shares or seeds another split of them.
        if source.path is not None:
            images = f"folder {os.path.realpath(os.path.expanduser(source.path))}"
        split = f"{split}, {'/'.join(map(str, source.fractions))}, seed {source.split_seed}"
    data = source.name
    if isinstance(source, Learn2Learn):
        data, images = source.same_as, source.same_images
    return {"data": data, "images": images, "split": split}


def leak_label(trained_on: dict[str, Any], source: Source, part: str) -> str:
    """One line on what the weights have seen of the evaluated classes.

    Args:
        trained_on: as a model's checkpoint holds it: its `identity`, and `before`, the origin of the
            weights it started from (text for foreign weights, the same dict for a run).
        source: the evaluated data set.
        part: train, val or test, the evaluated classes.
    """
    seen = [_of_training(trained_on, source, part)]
    before = trained_on["before"]
    while isinstance(before, dict):
        seen.append("started from: " + _of_training(before, source, part))
        before = before["before"]
    if before != "none":
        reason = _IN_IMAGENET.get(identity(source)["data"])
        leak = (
            f"LEAK, {reason}"
            if reason and "imagenet" in before.lower()
            else "what they have seen of it is not known"
        )
        seen.append(f"foreign weights ({before}): {leak}")
    return "; ".join(seen)


def origin(trained_on: dict[str, Any]) -> str:
    """One line on all that the weights were trained on, the last first; `trained_on` as in `leak_label`."""
    said = f"{trained_on['data']} ({trained_on['split']})"
    before = trained_on["before"]
    if isinstance(before, dict):
        return f"{said}; before that {origin(before)}"
    return f"{said}, from scratch" if before == "none" else f"{said}; before that foreign weights ({before})"


def _of_training(trained_on: dict[str, Any], source: Source, part: str) -> str:
    data, tested = trained_on["data"], identity(source)
    if trained_on["images"] == tested["images"]:
        if trained_on["split"] != tested["split"]:
            other = f"{data} {trained_on['split']}"
            return f"LEAK possible, trained on the same images under another split ({other})"
        return {
            "train": "LEAK, these are its training classes",
            "val": "LEAK, the model was chosen on these classes",
            "test": "unseen classes of the data it was trained on",
        }[part]
    if any({data, tested["data"]} <= family for family in _FAMILIES):
        return f"LEAK possible, {data} and {tested['data']} share ImageNet classes"
    return f"cross-domain, trained on {data} alone"
