"""Which characters the `glyphs` data set draws, in which scripts, from which fonts.

Only fonts that matplotlib ships are used, so every installation has them. What a font can draw is
read from its character map: asking a font for a character it lacks draws an empty box.
"""

from __future__ import annotations

import functools
import unicodedata
from pathlib import Path
from typing import NamedTuple

import matplotlib
from fontTools.ttLib import TTFont

SCRIPTS = {
    "train": ("LATIN", "DIGIT", "CANADIAN"),
    "val": ("GREEK", "GEORGIAN", "HEBREW", "LAO"),
    "test": ("CYRILLIC", "ARABIC", "ARMENIAN", "TIFINAGH", "NKO", "OLD"),
}
"""First words of Unicode names. Of an outline that scripts share, the first of them has the class."""

FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-Oblique",
    "DejaVuSansMono",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "DejaVuSerif-Italic",
    "STIXGeneral",
    "STIXGeneralItalic",
)
"""The Computer Modern fonts map their outlines to other characters, and LastResort draws none."""


class Character(NamedTuple):
    """A character that at least one font draws."""

    code: int
    script: str
    fonts: tuple[str, ...]
    """In the order of FONTS."""

    @property
    def class_name(self) -> str:
        """Such as "U+0416 CYRILLIC CAPITAL LETTER ZHE"."""
        return f"U+{self.code:04X} {unicodedata.name(chr(self.code))}"


def font_file(font: str) -> Path:
    """Where matplotlib keeps a font."""
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{font}.ttf"


@functools.cache
def characters() -> tuple[Character, ...]:
    """Letters and digits of SCRIPTS, in the order of that table and then of their code points.

    Characters that Unicode composes of others (accented letters, ligatures, wide forms) and marks
    and modifiers too small to be told apart at 28 px are left out.
    """
    covered: dict[int, list[str]] = {}
    for font in FONTS:
        with TTFont(font_file(font), lazy=True) as opened:
            for code in opened.getBestCmap():
                covered.setdefault(code, []).append(font)
    order = [script for scripts in SCRIPTS.values() for script in scripts]
    found = []
    for code, fonts in covered.items():
        script = unicodedata.name(chr(code), "").split(" ")[0]
        plain = unicodedata.category(chr(code)) in ("Lu", "Ll", "Lo", "Nd") and not unicodedata.decomposition(
            chr(code)
        )
        if script in order and plain:
            found.append(Character(code, script, tuple(fonts)))
    return tuple(sorted(found, key=lambda character: (order.index(character.script), character.code)))
