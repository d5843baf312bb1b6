"""A square table as shades of one colour, which light and dark pages define."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fewshot.report.axes import WIDTH, drawing, figure
from fewshot.report.markup import NOTHING, Markup, tag

_MOST_NUMBERS = 12
"""Rows above which the cells of a heat map are too small for numbers."""


def heat_map(
    title: str,
    cells: NDArray[np.float64],
    names: Sequence[str],
    *,
    rows_are: str,
    columns_are: str,
    low: float,
    high: float,
    scale: float = 1.0,
    listed: bool = True,
) -> Markup:
    """A square table as shades, with a number in each cell where there is room, and in its tooltip always.

    Args:
        title: of the figure.
        cells: [n, n]; nan is an empty cell.
        names: [n], of rows and columns, which bear their numbers.
        rows_are, columns_are: what they stand for.
        low, high: the values of the faintest and the fullest shade.
        scale: factor of the numbers that are shown (100 for per cent).
        listed: whether the names are listed below the picture.
    """
    count = len(cells)
    side = (WIDTH - 40) / count
    parts = []
    for (row, column), value in np.ndenumerate(cells):
        x, y = 34 + column * side, 18 + row * side
        if not math.isfinite(value):
            continue
        shade = min(1.0, max(0.0, (value - low) / (high - low or 1.0)))
        told = f"{rows_are} {names[row]}, {columns_are} {names[column]}: {scale * value:.{_digits(scale)}f}"
        square = tag(
            "rect",
            tag("title", told),
            x=x,
            y=y,
            width=max(side - 1, 0.5 * side),
            height=max(side - 1, 0.5 * side),
            fill="var(--heat)",
            fill_opacity=0.06 + 0.94 * shade,
        )
        parts.append(square)
        if count <= _MOST_NUMBERS:
            ink = "fill:var(--on-heat)" if shade > 0.65 else None
            shown = f"{scale * value:.{0 if scale == 100 else 2}f}"
            size = min(11.0, side / 2.4)
            style = f"font-size:{size:.1f}px;pointer-events:none;{ink or ''}"
            parts.append(
                tag(
                    "text",
                    shown,
                    x=x + side / 2,
                    y=y + side / 2 + size / 3,
                    text_anchor="middle",
                    style=style,
                )
            )
    every = max(1, -(-count // 20))
    for place in range(0, count, every):
        middle = place * side + side / 2
        parts.append(tag("text", place + 1, x=30, y=22 + middle, text_anchor="end", class_="quiet"))
        parts.append(tag("text", place + 1, x=34 + middle, y=13, text_anchor="middle", class_="quiet"))
    height = 18 + count * side + 4
    picture = drawing(f"{title}: rows {rows_are}, columns {columns_are}", *parts, height=height)
    ends = f"from {_shown(low, scale)} (faint) to {_shown(high, scale)} (full)"
    shades = f"rows: {rows_are}; columns: {columns_are}; {ends}"
    rows = tag("ol", *(tag("li", name) for name in names), class_="numbered")
    below = tag("details", tag("summary", "Names of the rows"), rows) if listed else NOTHING
    return figure(title, picture, tag("figcaption", shades), below)


def _digits(scale: float) -> int:
    return 1 if scale == 100 else 3


def _shown(value: float, scale: float) -> str:
    return f"{scale * value:.0f} %" if scale == 100 else f"{value:.2f}"
