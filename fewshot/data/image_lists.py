"""Lists of images as owners publish them: a line of column names, then one image a line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from fewshot.errors import InputError


def read_rows(lines: Sequence[str], columns: Sequence[str], where: str) -> list[list[str]]:
    """The lines below the column names, each cut at its spaces.

    Args:
        lines: of the file, from the column names on; empty ones are passed over.
        columns: the names that must stand there.
        where: for the error message, the file.

    Raises:
        InputError: the columns are others, or a line has not one value for each.
    """
    if not lines or lines[0].split() != list(columns):
        found = repr(lines[0][:80]) if lines else "nothing"
        raise InputError(f"{where}: has {found} where '{' '.join(columns)}' must stand; get it again")
    rows = [line.split() for line in lines[1:] if line.strip()]
    wrong = next((row for row in rows if len(row) != len(columns)), None)
    if wrong is not None:
        raise InputError(
            f"{where}: has the line {' '.join(wrong)!r} and not {len(columns)} values in it; get it again"
        )
    return rows


def check_listed(rows: Sequence[tuple[str, str, str]], where: str) -> None:
    """Refuse a list that names an image twice, or has a class in two parts of the split.

    Args:
        rows: (image, class, part) of each image.
        where: for the error message, the list.

    Raises:
        InputError: it does; the text names the first.
    """
    times = Counter(image for image, _, _ in rows)
    if len(times) != len(rows):
        twice = next(image for image, count in times.items() if count > 1)
        raise InputError(f"{where}: image {twice!r} is listed twice; get the list again")
    part_of: dict[str, str] = {}
    for _, name, part in rows:
        if part_of.setdefault(name, part) != part:
            raise InputError(
                f"{where}: class {name!r} is in both {part_of[name]} and {part}; get the list again"
            )


def check_there(listed: Mapping[str, object], there: Collection[str], where: str) -> None:
    """Refuse a folder or archive that lacks listed images.

    Raises:
        InputError: it does; the text counts them and names the first.
    """
    absent = listed.keys() - set(there)
    if absent:
        raise InputError(
            f"{where}: {len(absent):,} of {len(listed):,} listed images are missing, first {min(absent)!r}; "
            "get them again"
        )
