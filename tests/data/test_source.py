from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from fewshot.data.class_lists import class_list, divide, image_list
from fewshot.data.source import ClassSplit, Record, Source
from fewshot.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Shapes(Source):
    name: ClassVar[str] = "shapes"
    title: ClassVar[str] = "Shapes"
    terms: ClassVar[str] = "none"
    needs: ClassVar[str] = "nothing"
    splits: ClassVar[tuple[str, ...]] = ("plain", "other", "retrieval")

    size: int = 8
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.25, 0.25, 0.25)

    def find(self, folder: Path) -> str | None:
        return "shapes"

    def records(self, folder: Path) -> Iterator[Record]:
        return iter(())

    def class_split(self, class_names: Sequence[str]) -> ClassSplit:
        return ClassSplit(train=tuple(class_names))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"size": 0}, "size=0"),
        ({"channels": 2}, "channels=2"),
        ({"resize": 7}, "resize=7"),
        ({"fit": "stretch"}, "cover, squash"),
        ({"residency": "gpu"}, "memmap, ram, device"),
        ({"channels": 1}, "mean has 3 numbers for 1"),
        ({"std": (0.1, 0.0, 0.1)}, "above zero"),
        ({"split": "fancy"}, "split='fancy' must be one of plain"),
        ({"protocol": "zero_shot"}, "protocol='zero_shot' must be one of few_shot, retrieval, continual"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        Shapes(**fields)
    assert str(caught.value).startswith("data=shapes:")


def test_without_a_split_it_is_the_one_that_papers_of_the_protocol_use() -> None:
    assert Shapes().split == "plain"
    assert Shapes(protocol="retrieval").split == "retrieval"
    assert Shapes(protocol="continual").split == "plain"
    assert Shapes(split="other", protocol="retrieval").split == "other"
    assert Shapes(split="retrieval") == Shapes(protocol="retrieval")
    assert Shapes(protocol="retrieval").key == Shapes().key


def test_every_image_searches_all_others_unless_the_source_says_otherwise() -> None:
    assert Shapes().query_gallery(["a", "b"]) is None


def test_no_image_is_a_test_image_unless_the_source_says_so() -> None:
    assert Shapes().test_images(["a", "b"]) is None


def test_lists_become_tuples_as_hydra_gives_lists() -> None:
    assert Shapes(mean=[0, 0, 0]).mean == (0.0, 0.0, 0.0)  # type: ignore[arg-type]


def test_key_follows_the_pixels_alone() -> None:
    assert Shapes().key == "shapes-8px-rgb"
    assert Shapes(mean=(0, 0, 0), residency="memmap", path="elsewhere", resize=8).key == Shapes().key
    others = [
        Shapes(size=9),
        Shapes(channels=1, mean=(0.5,), std=(0.5,)),
        Shapes(resize=10),
        Shapes(fit="squash"),
    ]
    assert len({source.key for source in [Shapes(), *others]}) == 5


def test_split_parts_must_be_disjoint() -> None:
    with pytest.raises(InputError, match="'b' is in both train and test"):
        ClassSplit(train=("a", "b"), test=("b",))
    with pytest.raises(InputError, match="'a' is twice in val"):
        ClassSplit(val=("a", "a"))


def test_an_empty_part_is_an_error_only_when_it_is_asked_for() -> None:
    split = ClassSplit(train=("a",))
    assert split.part("train") == ("a",)
    with pytest.raises(InputError, match="test part has no classes"):
        split.part("test")
    with pytest.raises(InputError, match="no part 'valid'"):
        split.part("valid")


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("miniimagenet_ravi", (64, 16, 20)),
        ("miniimagenet_vinyals", (60, 20, 20)),
        ("tieredimagenet_ren", (351, 97, 160)),
        ("cifar100_bertinetto", (64, 16, 20)),
        ("cifar100_oreshkin", (60, 20, 20)),
        ("omniglot_vinyals", (1028, 172, 423)),
        ("omniglot_lake", (792, 172, 659)),
    ],
)
def test_packaged_lists_have_the_published_sizes(name: str, sizes: tuple[int, int, int]) -> None:
    split = class_list(name)
    assert (len(split.train), len(split.val), len(split.test)) == sizes


def test_lists_over_the_same_images_name_the_same_classes() -> None:
    def everything(name: str) -> set[str]:
        split = class_list(name)
        return {*split.train, *split.val, *split.test}

    assert everything("cifar100_bertinetto") == everything("cifar100_oreshkin")
    assert everything("omniglot_vinyals") == everything("omniglot_lake")


@pytest.mark.parametrize("split", ["ravi", "vinyals"])
def test_miniimagenet_image_lists_have_600_images_a_class(split: str) -> None:
    classes = class_list(f"miniimagenet_{split}")
    images = image_list(f"miniimagenet_{split}_images")
    assert set(images) == {*classes.train, *classes.val, *classes.test}
    assert {len(set(names)) for names in images.values()} == {600}
    assert all(name.startswith(f"{wnid}_") for wnid, names in images.items() for name in names)


def test_packaged_lists_agree_with_the_published_files(shared_data: Path) -> None:
    splits = shared_data / "splits"
    ours = class_list("miniimagenet_ravi")
    for part in ("train", "val", "test"):
        rows = (splits / "miniimagenet" / f"ravi_{part}.csv").read_text().splitlines()[1:]
        assert set(getattr(ours, part)) == {row.split(",")[1] for row in rows}
        images = image_list("miniimagenet_ravi_images")
        rows = (splits / "miniimagenet" / f"sicara_{part}.csv").read_text().splitlines()[1:]
        assert {tuple(row.split(",")) for row in rows} == {
            (wnid, name) for wnid in getattr(ours, part) for name in images[wnid]
        }
        fc100 = (splits / "fc100" / f"{part}.txt").read_text().split()
        assert set(getattr(class_list("cifar100_oreshkin"), part)) == set(fc100)
        cifar_fs = (splits / "cifarfs" / f"{part}.txt").read_text().split()
        assert set(getattr(class_list("cifar100_bertinetto"), part)) == set(cifar_fs)
        turned = (splits / "omniglot" / f"vinyals_protonet_{part}.txt").read_text().splitlines()
        characters = {row.rsplit("/", 1)[0] for row in turned}
        assert set(getattr(class_list("omniglot_vinyals"), part)) == characters


def test_divide_leaves_out_a_part_that_is_wholly_absent_and_no_other() -> None:
    split = ClassSplit(train=("a", "b"), val=("c",), test=("d", "e"))
    assert divide(split, ["a", "b", "x"], "here") == ClassSplit(train=("a", "b"))
    with pytest.raises(InputError, match=r"here: class 'e' of the test part .* \(1 of 2 are absent\)"):
        divide(split, ["a", "b", "d"], "here")
    with pytest.raises(InputError, match="none of its classes"):
        divide(split, ["x", "y"], "here")
