"""The label that says what the weights have seen, case by case."""

from __future__ import annotations

from typing import Any

import pytest

from fewshot.data.source import Source
from fewshot.data.sources.cars import Cars
from fewshot.data.sources.cifar import FC100, Cifar100, CifarFS
from fewshot.data.sources.cub import CUB
from fewshot.data.sources.dogs import Dogs
from fewshot.data.sources.folder import ImageFolder
from fewshot.data.sources.glyphs import Glyphs
from fewshot.data.sources.inshop import InShop
from fewshot.data.sources.learn2learn import Learn2Learn
from fewshot.data.sources.miniimagenet import MiniImageNet
from fewshot.data.sources.omniglot import Omniglot
from fewshot.data.sources.sop import SOP
from fewshot.data.sources.tieredimagenet import TieredImageNet
from fewshot.recipes.leakage import identity, leak_label

IMAGENET = "ImageNet-1k (timm: resnet50.a1_in1k)"
UNSEEN = "unseen classes of the data it was trained on"


def trained(source: Source, before: Any = "none") -> dict[str, Any]:
    """What the checkpoint of a run on `source` holds."""
    return {**identity(source), "before": before}


@pytest.mark.parametrize(
    "trained_on,tested,part,label",
    [
        # The data it was trained on, part by part.
        (CUB(), CUB(), "test", UNSEEN),
        (CUB(), CUB(), "val", "LEAK, the model was chosen on these classes"),
        (CUB(), CUB(), "train", "LEAK, these are its training classes"),
        (CUB(), CUB(size=64), "test", UNSEEN),
        (Glyphs(), Glyphs(), "test", UNSEEN),
        # The same images under another split.
        (CUB(), CUB(split="feat"), "test", "LEAK possible, trained on the same images under another split"),
        (CUB(), CUB(protocol="retrieval"), "test", "under another split (cub closerlook)"),
        (CUB(protocol="retrieval"), CUB(), "test", "under another split (cub retrieval)"),
        (CifarFS(), Cifar100(protocol="retrieval"), "test", "under another split (cifar_fs bertinetto)"),
        (Cifar100(), Cifar100(protocol="retrieval"), "test", "under another split (cifar100 all)"),
        # The train and test classes of retrieval.
        (CUB(protocol="retrieval"), CUB(split="retrieval"), "test", UNSEEN),
        (CUB(protocol="retrieval"), CUB(split="retrieval"), "train", "LEAK, these are its training classes"),
        (SOP(), SOP(protocol="retrieval"), "test", UNSEEN),
        (InShop(), InShop(protocol="retrieval"), "train", "LEAK, these are its training classes"),
        (SOP(), InShop(), "test", "cross-domain, trained on sop alone"),
        (trained(SOP(), IMAGENET), SOP(), "test", "what they have seen of it is not known"),
        (Omniglot(split="lake"), Omniglot(), "test", "LEAK possible, trained on the same images"),
        (CifarFS(), FC100(), "test", "LEAK possible, trained on the same images"),
        (MiniImageNet(split="vinyals"), MiniImageNet(), "val", "LEAK possible, trained on the same images"),
        # The same data sets by way of learn2learn.
        (Learn2Learn(), MiniImageNet(), "test", UNSEEN),
        (MiniImageNet(), Learn2Learn(), "train", "LEAK, these are its training classes"),
        (Learn2Learn(benchmark="fc100"), CifarFS(), "test", "under another split (fc100 oreshkin)"),
        (Omniglot(), Learn2Learn(benchmark="omniglot"), "test", "under another split (omniglot vinyals)"),
        (Learn2Learn(), TieredImageNet(), "test", "LEAK possible, miniimagenet and tieredimagenet share"),
        (trained(SOP(), IMAGENET), Learn2Learn(), "test", "LEAK, its classes are ImageNet classes"),
        (Learn2Learn(benchmark="omniglot"), Learn2Learn(), "test", "cross-domain"),
        # Parts of ImageNet.
        (MiniImageNet(), TieredImageNet(), "test", "LEAK possible, miniimagenet and tieredimagenet share"),
        (TieredImageNet(), MiniImageNet(), "test", "LEAK possible, tieredimagenet and miniimagenet share"),
        (MiniImageNet(), Dogs(), "test", "LEAK possible, miniimagenet and dogs share"),
        (Dogs(), TieredImageNet(), "test", "LEAK possible, dogs and tieredimagenet share"),
        # Another domain.
        (MiniImageNet(), CUB(), "test", "cross-domain, trained on miniimagenet alone"),
        (MiniImageNet(), Cars(), "train", "cross-domain, trained on miniimagenet alone"),
        (Glyphs(), Omniglot(), "test", "cross-domain, trained on glyphs alone"),
        # Folders are told apart by their place and their split.
        (ImageFolder(path="/a/b"), ImageFolder(path="/a/b/../b"), "test", UNSEEN),
        (ImageFolder(path="/a/b"), ImageFolder(path="/a/c"), "test", "cross-domain, trained on folder alone"),
        (
            ImageFolder(path="/a/b"),
            ImageFolder(path="/a/b", split_seed=1),
            "test",
            "LEAK possible, trained on the same images under another split",
        ),
        (
            ImageFolder(path="/a/b"),
            ImageFolder(path="/a/b", fractions=(0.5, 0.2, 0.3)),
            "test",
            "LEAK possible, trained on the same images under another split",
        ),
        # Foreign weights, alone and behind a run.
        (trained(CUB(), IMAGENET), CUB(), "test", f"{UNSEEN}; foreign weights ({IMAGENET}): LEAK, ImageNet"),
        (trained(MiniImageNet(), IMAGENET), MiniImageNet(), "test", "LEAK, its classes are ImageNet classes"),
        (trained(Cars(), IMAGENET), Dogs(), "test", "LEAK, its images are ImageNet images"),
        (trained(Glyphs(), IMAGENET), Omniglot(), "test", "what they have seen of it is not known"),
        (
            trained(CUB(), "unknown images (file x.pth)"),
            CUB(),
            "test",
            "what they have seen of it is not known",
        ),
        # Begun from a run (init=), and that from another.
        (
            trained(MiniImageNet(), trained(CUB())),
            CUB(),
            "train",
            "cross-domain, trained on miniimagenet alone; started from: LEAK, these are its training classes",
        ),
        (
            trained(Glyphs(), trained(Omniglot(), trained(CUB(), IMAGENET))),
            CUB(),
            "test",
            f"trained on omniglot alone; started from: {UNSEEN}; foreign weights ({IMAGENET}): LEAK",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and value in ("train", "val", "test") else "",
)
def test_the_label(trained_on: Source | dict[str, Any], tested: Source, part: str, label: str) -> None:
    seen = trained_on if isinstance(trained_on, dict) else trained(trained_on)
    said = leak_label(seen, tested, part)
    assert label in said
    assert "\n" not in said
    if label == UNSEEN or (label.startswith("cross-domain") and ";" not in label):
        assert "LEAK" not in said


@pytest.mark.parametrize(
    "source",
    [CUB(), CifarFS(), ImageFolder(path="/a"), ImageFolder(), Glyphs(), InShop()],
    ids=lambda s: s.name,
)
def test_the_identity_is_plain_text(source: Source) -> None:
    found = identity(source)
    assert set(found) == {"data", "images", "split"}
    assert all(isinstance(value, str) for value in found.values())
