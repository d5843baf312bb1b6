"""The benchmark data sets of learn2learn (Arnold et al. 2020, arXiv 2008.12284), read by its own classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from PIL import Image

from fewshot.data import pickles
from fewshot.data.seeded_split import check_complete, seeded_split
from fewshot.data.source import PARTS, ClassSplit, Record, Source
from fewshot.data.sources.imagenet_folders import IMAGENET_MEAN, IMAGENET_STD
from fewshot.errors import InputError
from fewshot.learn2learn import learn2learn


class _Benchmark(NamedTuple):
    """One of learn2learn's benchmarks.

    Attributes:
        dataset: its class in `learn2learn.vision.datasets`.
        files: what lies below its root for one part; {mode} is train, validation or test, {part} has val.
        same_as, same_images: name of our source of the same classes, and of its images.
        split: what that source calls the same division; of Omniglot learn2learn has one of its own.
        size, mean, std: of its images.
    """

    dataset: str
    files: tuple[str, ...]
    same_as: str
    same_images: str
    split: str
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


_CIFAR = ((0.5071, 0.4866, 0.4409), (0.2673, 0.2564, 0.2762))
_OMNIGLOT = "omniglot"
BENCHMARKS = {
    _OMNIGLOT: _Benchmark(
        "FullOmniglot",
        tuple(f"omniglot-py/images_{p}{end}" for p in ("background", "evaluation") for end in ("", ".zip")),
        *("omniglot", "omniglot", "learn2learn", 28, (0.0,), (1.0,)),
    ),
    "mini-imagenet": _Benchmark(
        "MiniImagenet",
        ("mini-imagenet-cache-{mode}.pkl",),
        *("miniimagenet", "miniimagenet", "ravi", 84, IMAGENET_MEAN, IMAGENET_STD),
    ),
    "tiered-imagenet": _Benchmark(
        "TieredImagenet",
        ("tiered-imagenet/{part}_images_png.pkl", "tiered-imagenet/{part}_labels.pkl"),
        *("tieredimagenet", "tieredimagenet", "ren", 84, IMAGENET_MEAN, IMAGENET_STD),
    ),
    "cifarfs": _Benchmark(
        "CIFARFS", ("cifarfs/processed/{part}",), "cifar_fs", "cifar100", "bertinetto", 32, *_CIFAR
    ),
    "fc100": _Benchmark("FC100", ("FC100_{part}.pickle",), "fc100", "cifar100", "oreshkin", 32, *_CIFAR),
}
_OMNIGLOT_CLASSES = (1100, 100, 423)


@dataclass(frozen=True, kw_only=True)
class Learn2Learn(Source):
    """A benchmark of learn2learn, as its data sets read it from the disk; nothing is downloaded.

    A class is "PART/NNNN", after the label that learn2learn gives it. Its Omniglot has one part of 1,623
    unturned characters, "ALPHABET/characterNN", which it divides by Python's global random numbers; here
    as many, 1100 / 100 / 423, are drawn by a fixed seed.
    """

    name: ClassVar[str] = "learn2learn"
    title: ClassVar[str] = "a benchmark of learn2learn"
    terms: ClassVar[str] = "those of the data set itself"
    needs: ClassVar[str] = (
        "what learn2learn has below its root: mini-imagenet-cache-{train,validation,test}.pkl, "
        "tiered-imagenet/, cifarfs/processed/, FC100_{train,val,test}.pickle or omniglot-py/ "
        "(data.benchmark says which)"
    )
    splits: ClassVar[tuple[str, ...]] = ()

    benchmark: str = "mini-imagenet"
    size: int = 0
    """0: the benchmark's own; so are 0 `channels`, and no `mean` and `std`."""
    channels: int = 0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.benchmark not in BENCHMARKS:
            raise InputError(
                f"data=learn2learn: benchmark={self.benchmark} must be one of {', '.join(BENCHMARKS)}"
            )
        of = self._of
        own = {"size": of.size, "channels": len(of.mean), "mean": of.mean, "std": of.std}
        for key, value in own.items():
            if not getattr(self, key):
                object.__setattr__(self, key, value)
        super().__post_init__()
        if self.split != of.split:
            raise InputError(
                f"data=learn2learn benchmark={self.benchmark}: split={self.split} must be {of.split}"
            )

    def _usual_split(self) -> str:
        return self._of.split

    @property
    def _of(self) -> _Benchmark:
        return BENCHMARKS[self.benchmark]

    @property
    def same_as(self) -> str:
        """The name of our own source of these classes."""
        return self._of.same_as

    @property
    def same_images(self) -> str:
        """The name of the images of that source."""
        return self._of.same_images

    @property
    def key(self) -> str:
        return f"{self.name}-{self.benchmark}-{self.pixels}"

    def find(self, folder: Path) -> str | None:
        parts = list(self._parts(folder))
        if not parts:
            return None
        some = (
            ""
            if len(parts) == len(PARTS) or self.benchmark == _OMNIGLOT
            else f" ({' and '.join(parts)} only)"
        )
        return f"{self.benchmark} of learn2learn{some}"

    def records(self, folder: Path) -> Iterator[Record]:
        for part, (root, files) in self._parts(folder).items():
            dataset = self._opened(part, root, files)
            characters = _characters(dataset) if self.benchmark == _OMNIGLOT else None
            for row in range(len(dataset)):
                image, label = dataset[row]
                name, file = f"{part}/{int(label):04d}", f"{row:06d}"
                if characters is not None:
                    name, file = characters[row]
                yield Record(name, f"{name}/{file}", self._pixels(image))

    def class_split(self, class_names: Sequence[str]) -> ClassSplit:
        if self.benchmark == _OMNIGLOT:
            check_complete(class_names, sum(_OMNIGLOT_CLASSES), "data=learn2learn benchmark=omniglot")
            return seeded_split(class_names, _OMNIGLOT_CLASSES, 0, "learn2learn omniglot")
        return ClassSplit(*(tuple(n for n in class_names if n.startswith(f"{part}/")) for part in PARTS))

    def _parts(self, folder: Path) -> dict[str, tuple[Path, list[Path]]]:
        """The root of learn2learn and the files, for each part that is there.

        Where no path is given, its root may also be the folder of all data.
        """
        found = {}
        for part in ("all",) if self.benchmark == _OMNIGLOT else PARTS:
            for root in (folder, *((folder.parent,) if self.path is None else ())):
                files = [root / file.format(part=part, mode=_mode(part)) for file in self._of.files]
                if part not in found and all(file.exists() for file in files):
                    found[part] = (root, files)
        return found

    def _opened(self, part: str, root: Path, files: list[Path]) -> Any:
        """The data set of learn2learn, once its pickles are known to hold arrays alone.

        It unpickles with Python's own reader, which runs what a file says.

        Raises:
            InputError: learn2learn is not installed, or cannot read the files.
        """
        for file in files:
            if file.suffix in (".pkl", ".pickle"):
                pickles.load_path(file)
        kind = getattr(learn2learn().vision.datasets, self._of.dataset)
        given = {} if self.benchmark == _OMNIGLOT else {"mode": _mode(part)}
        try:
            return kind(root=str(root), download=False, **given)
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            reason = (str(error).strip().splitlines() or [repr(error)])[0]
            raise InputError(
                f"{files[0]}: learn2learn's {self._of.dataset} cannot read it ({reason})"
            ) from error

    def _pixels(self, image: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """uint8 [height, width, channels] of a PIL image, or of miniImageNet's tensors, 0 to 255 unscaled."""
        if not isinstance(image, Image.Image):
            image = Image.fromarray(image.permute(1, 2, 0).byte().numpy())
        pixels = np.asarray(image.convert("L" if self.channels == 1 else "RGB"), dtype=np.uint8)
        pixels = pixels.reshape(*pixels.shape[:2], self.channels)
        # Ink 255 on paper 0, as learn2learn's benchmark and our own Omniglot have it.
        return 255 - pixels if self.benchmark == _OMNIGLOT else pixels


def _characters(dataset: Any) -> list[tuple[str, str]]:
    """Class and file of each drawing; torchvision's labels follow the order of a directory, which varies."""
    return [
        (half._characters[label].replace("\\", "/"), file)
        for half in dataset.dataset.datasets
        for file, label in half._flat_character_images
    ]


def _mode(part: str) -> str:
    return "validation" if part == "val" else part
