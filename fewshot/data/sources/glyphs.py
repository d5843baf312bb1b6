"""Glyphs: characters of twelve scripts, drawn in seconds from the fonts that matplotlib ships."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from fewshot.data.class_lists import divide
from fewshot.data.glyph_drawings import RECIPE, drawings
from fewshot.data.glyph_scripts import SCRIPTS
from fewshot.data.look_alikes import glyph_classes
from fewshot.data.source import ClassSplit, Record, Source
from fewshot.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Glyphs(Source):
    """The data set that needs no files: the default, for a first run and for tests.

    A class is a character such as "U+0416 CYRILLIC CAPITAL LETTER ZHE". The split is by script;
    an outline that several scripts share is one class, in the first of them (see `look_alikes`).
    The same versions of Pillow, NumPy and torch draw the same bits from the same `drawing_seed`.
    Ink is 255 on paper 0, as in `omniglot`.
    """

    name: ClassVar[str] = "glyphs"
    title: ClassVar[str] = "Glyphs"
    terms: ClassVar[str] = "drawn from the DejaVu and STIX fonts, which are free to use"
    needs: ClassVar[str] = "nothing: it is drawn from the fonts that matplotlib ships"
    ink: ClassVar[bool] = True
    splits: ClassVar[tuple[str, ...]] = ("scripts",)

    size: int = 28
    channels: int = 1
    mean: tuple[float, ...] = (0.15,)
    std: tuple[float, ...] = (0.27,)
    images_per_class: int = 20
    drawing_seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.images_per_class < 2**20:
            raise InputError(f"data=glyphs: images_per_class={self.images_per_class} must be 1 or more")
        if not 12 <= self.size <= 128:
            raise InputError(f"data=glyphs: size={self.size} must be from 12 to 128 pixels")

    @property
    def key(self) -> str:
        return f"{super().key}-recipe{RECIPE}-{self.images_per_class}each-seed{self.drawing_seed}"

    def find(self, folder: Path) -> str | None:
        return "fonts of matplotlib"

    def records(self, folder: Path) -> Iterator[Record]:
        drawn = drawings(glyph_classes(), self.size, self.images_per_class, self.drawing_seed)
        for character, images in drawn:
            for number, image in enumerate(images):
                yield Record(character.class_name, f"{character.code:04X}/{number:03d}", image[:, :, None])

    def class_split(self, class_names: Sequence[str]) -> ClassSplit:
        parts = {
            part: tuple(found.class_name for found in glyph_classes() if found.script in scripts)
            for part, scripts in SCRIPTS.items()
        }
        return divide(ClassSplit(**parts), class_names, "data=glyphs split=scripts")

    def superclasses(self, class_names: Sequence[str]) -> tuple[str, ...] | None:
        """Scripts."""
        script = {found.class_name: found.script for found in glyph_classes()}
        return tuple(script[name] for name in class_names)
