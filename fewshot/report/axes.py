"""The frame of a chart: a plot area with round ticks, drawn for the width of a phone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fewshot.report.markup import Markup, join, tag

WIDTH, HEIGHT = 360.0, 230.0
"""Units of the drawing. A phone shows one as about a pixel, so that text stays readable there."""
LEFT, RIGHT, TOP, BOTTOM = 46.0, 18.0, 10.0, 40.0


@dataclass(frozen=True)
class Axes:
    """Ranges of the two axes, low below high."""

    x: tuple[float, float]
    y: tuple[float, float]

    @classmethod
    def around(
        cls, xs: Sequence[float], ys: Sequence[float], y: tuple[float | None, float | None] = (None, None)
    ) -> Axes:
        """Axes that hold all points; a bound of `y` that is given stands."""
        low = min(ys) if y[0] is None else y[0]
        high = max(ys) if y[1] is None else y[1]
        margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
        bounds = (low - margin if y[0] is None else low, high + margin if y[1] is None else high)
        left, right = min(xs), max(xs)
        return cls((left, right) if right > left else (left - 1, right + 1), bounds)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where a point lies in the drawing."""
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - BOTTOM - TOP)

    def frame(self, x_label: str, y_label: str, x_ticks: Sequence[float] | None = None) -> Markup:
        """Grid, ticks and the names of the axes."""
        parts = []
        for value in ticks(*self.y):
            y = self.place(self.x[0], value)[1]
            parts.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid"))
            parts.append(tag("text", label(value), x=LEFT - 5, y=y + 4, text_anchor="end", class_="quiet"))
        for value in ticks(*self.x) if x_ticks is None else x_ticks:
            x = self.place(value, self.y[0])[0]
            parts.append(
                tag("text", label(value), x=x, y=HEIGHT - BOTTOM + 15, text_anchor="middle", class_="quiet")
            )
        ground = HEIGHT - BOTTOM
        parts.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=ground, y2=ground, class_="axis"))
        middle = (LEFT + WIDTH - RIGHT) / 2
        parts.append(tag("text", x_label, x=middle, y=HEIGHT - 6, text_anchor="middle"))
        up = (TOP + ground) / 2
        turn = f"rotate(-90 11 {up:.0f})"
        parts.append(tag("text", y_label, x=11, y=up, text_anchor="middle", transform=turn))
        return join(parts)


def drawing(title: str, *content: object, width: float = WIDTH, height: float = HEIGHT) -> Markup:
    """An SVG that a screen reader reads as one picture with this title."""
    return tag(
        "svg",
        tag("title", title),
        *content,
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        aria_label=title,
    )


def figure(title: str, *content: object) -> Markup:
    """A drawing with its title, if it has one, above and what belongs to it below."""
    return tag("figure", *([tag("h3", title)] if title else []), *content)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round values within low..high, about so many."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low]
    size = 10.0 ** math.floor(math.log10((high - low) / about))

    def within(step: float) -> range:
        return range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)

    step = min((size * m for m in (1, 2, 2.5, 5, 10)), key=lambda s: abs(len(within(s)) - about))
    return [count * step for count in within(step)]


def label(value: float) -> str:
    """A tick's text: 0.25, 1,500, 2e-05."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}" if abs(value) >= 1e-3 else f"{value:.1e}"
