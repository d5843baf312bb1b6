"""From a source to its packed set: where the files lie, whether it is packed, pack it, check it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from fewshot.data import pack_format
from fewshot.data.downloading import fetch
from fewshot.data.image_set import ImageSet
from fewshot.data.packing import pack
from fewshot.data.source import PARTS, Source
from fewshot.errors import InputError


def root() -> Path:
    """The folder of all data: $FEWSHOT_DATA, or `data` in the working directory."""
    return Path(os.environ.get("FEWSHOT_DATA") or "data")


@dataclass(frozen=True)
class Status:
    """What is there of a data set."""

    source: Source
    folder: Path
    """Where the original files lie, or would lie."""
    form: str | None
    """In which form they lie there; None: nothing usable."""
    target: Path
    """Where the packed set is, or would be."""
    count: int | None
    """Images in the packed set; None: it is not packed."""
    classes: int | None
    problem: str | None
    """Why the packed set cannot be used, though it is there."""

    def line(self) -> str:
        """One line for `python -m fewshot data list`."""
        if self.problem is not None:
            state = self.problem
        elif self.count is not None:
            state = f"ready: {self.count:,} images of {self.classes:,} classes"
        elif self.form is not None:
            state = f"found {self.form} in {self.folder}; not packed yet"
        else:
            state = f"not here; {_how_to_get(self.source, self.folder)}"
        return f"{self.source.name}: {state}"


def status(source: Source) -> Status:
    """What is there of `source`, found without reading an image."""
    folder, form = _find(source)
    target = _target(source)
    count = classes = problem = None
    if target.exists():
        try:
            manifest = pack_format.read_manifest(target)
            count, classes = manifest["count"], len(manifest["classes"])
        except InputError as error:
            problem = str(error)
    return Status(source, folder, form, target, count, classes, problem)


def prepare(source: Source, *, again: bool = False, download: bool = True) -> Path:
    """Make sure that `source` is packed, and return the folder of the pack.

    A pack that is there is kept if it was made from the files that are there now. It is replaced
    if `source.path` names another folder, or if files of more classes have come since.

    Args:
        source: its `path` says where the original files lie if that is not ROOT/NAME.
        again: pack again in any case.
        download: get the files from their owner if none are there and the owner serves them plainly.

    Raises:
        InputError: no files are there (the text says what to get and where to put it), or packing failed.
    """
    target = _target(source)
    # Looked at once: what another process packs meanwhile is as good, and is not replaced.
    there = target.exists()
    folder, form = _find(source)
    if there and not again:
        manifest = pack_format.read_manifest(target)
        if form is None or (manifest["form"] == form and not _from_elsewhere(source, manifest)):
            return target
    if form is None and download and source.downloads and source.path is None:
        for file in source.downloads:
            fetch(file, folder)
        form = source.find(folder)
    if form is None:
        how = _how_to_get(source, folder)
        raise InputError(f"data={source.name}: no files of {source.title} in {folder}; {how}")
    return pack(source, folder, form, target, replace=there)


def open_image_set(
    source: Source,
    device: torch.device | str = "cpu",
    residency: str | None = None,
) -> ImageSet:
    """The image set of `source`, packed now if its files are there and it is not; nothing is downloaded.

    Args:
        source: the configured data set.
        device: where the pixels go if `residency` is "device".
        residency: memmap, ram or device; None: `source.residency`.

    Raises:
        InputError: no files are there, packing failed, the pack is damaged, or it was made from
            another folder than `source.path`.
    """
    target = _target(source)
    if not target.exists():
        prepare(source, download=False)
    images = ImageSet.open(target, residency or source.residency, device)
    if _from_elsewhere(source, images.manifest):
        command = f"python -m fewshot data prepare {source.name} source={source.path}"
        raise InputError(
            f"data={source.name}: {target} was packed from {images.manifest['folder']}, not from "
            f"path={source.path}; run `{command}` to replace it"
        )
    return images


def verify(source: Source) -> str:
    """Check every byte of the packed set and the class split; return one line that says what it is.

    Raises:
        InputError: it is not packed, or something is wrong.
    """
    target = _target(source)
    if not target.exists():
        command = f"python -m fewshot data prepare {source.name}"
        raise InputError(f"data={source.name}: not packed yet; run `{command}`")
    manifest = pack_format.verify(target)
    split = source.class_split(manifest["classes"])
    parts = ", ".join(f"{len(getattr(split, part))} {part}" for part in PARTS)
    single = sum(count == 1 for count in manifest["images_per_class"])
    note = f"; {single} classes have one image only" if single else ""
    return (
        f"{target}: whole; {manifest['count']:,} images of {len(manifest['classes'])} classes, "
        f"from {manifest['form']}; split {source.split}: {parts} classes{note}"
    )


def _target(source: Source) -> Path:
    return root() / "packed" / source.key


def _find(source: Source) -> tuple[Path, str | None]:
    """The folder of the original files and their form."""
    if source.path is not None:
        folder = Path(os.path.expanduser(source.path))
        if not folder.is_dir():
            raise InputError(f"data={source.name}: path={source.path} is not a folder")
        return folder, source.find(folder)
    folders = [root() / name for name in dict.fromkeys((source.images or source.name, source.name))]
    for folder in folders:
        form = source.find(folder)
        if form is not None:
            return folder, form
    return folders[0], None


def _from_elsewhere(source: Source, manifest: dict[str, object]) -> bool:
    return source.path is not None and os.path.realpath(os.path.expanduser(source.path)) != manifest["folder"]


def _how_to_get(source: Source, folder: Path) -> str:
    if source.downloads:
        first = (
            f"run `python -m fewshot data prepare {source.name}`, which downloads it, or put into {folder}"
        )
    else:
        first = f"put into {folder} (or name its folder: `prepare` source=DIR, training data.path=DIR)"
    return f"{first}: {source.needs}. Terms: {source.terms}"
