"""Lines, points and bars, in colours that both light and dark pages define."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fewshot.report.axes import WIDTH, Axes, drawing, figure, label
from fewshot.report.markup import NOTHING, Markup, join, number, shortened, tag

COLOURS = 6
_DASHES = (None, "7 3", "2 3", "9 3 2 3", "4 4", "1 2")
_MOST_POINTS = 300


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes:
        name: in the legend.
        points: (x, y) in ascending x; y that is not finite is a gap.
        half_widths: of the interval at each point; none draws none.
        marked: whether each point has a mark.
    """

    name: str
    points: Sequence[tuple[float, float]]
    half_widths: Sequence[float] = ()
    marked: bool = False


def line_chart(
    title: str,
    lines: Sequence[Line],
    x_label: str,
    y_label: str,
    *,
    y: tuple[float | None, float | None] = (None, None),
    x_ticks: Sequence[float] | None = None,
    headed: bool = True,
    named: bool = False,
) -> Markup:
    """Lines over one pair of axes; colour and dashes tell them apart, and a legend names them.

    `headed` puts the title above the chart, which the heading of a section may have done already;
    `named` has a legend for a single line too.
    """
    shown = [_thinned(line) for line in lines]
    finite = [(a, b) for line in shown for a, b in line.points if math.isfinite(b)]
    if not finite:
        return NOTHING
    ends = [b + s * w for line in shown for (_, b), w in zip(line.points, line.half_widths) for s in (-1, 1)]  # noqa: B905
    axes = Axes.around([a for a, _ in finite], [*(b for _, b in finite), *ends], y)
    drawn = [_line(axes, line, place) for place, line in enumerate(shown)]
    picture = drawing(f"{title}: {y_label} against {x_label}", axes.frame(x_label, y_label, x_ticks), *drawn)
    names = legend([line.name for line in lines]) if named or len(lines) > 1 else NOTHING
    return figure(title if headed else "", picture, names)


def legend(names: Sequence[str]) -> Markup:
    """Names beside the strokes of their lines."""
    rows = []
    for place, name in enumerate(names):
        stroke = tag("line", x1=0, x2=24, y1=8, y2=8, **_stroke(place))
        key = tag("svg", stroke, viewBox="0 0 24 16", aria_hidden="true")
        rows.append(tag("li", key, name))
    return tag("ul", *rows, class_="legend")


def points(
    title: str, places: NDArray[np.float64], groups: NDArray[np.int64], names: Sequence[str]
) -> Markup:
    """Points [n, 2] in groups [n] (numbers of `names`); six colours by as many shapes as it takes."""
    low, high = places.min(0), places.max(0)
    spread = np.where(high > low, high - low, 1.0)
    at = 8 + (places - low) / spread * np.array([WIDTH - 16, WIDTH - 16])
    marks = [
        tag("g", tag("title", names[group]), mark(int(group), float(x), float(y)))
        for (x, y), group in zip(at, groups, strict=True)
    ]
    frame = tag("rect", x=0.5, y=0.5, width=WIDTH - 1, height=WIDTH - 1, fill="none", class_="grid")
    picture = drawing(title, frame, *marks, height=WIDTH)
    rows = [
        tag("li", tag("svg", mark(place, 8, 8), viewBox="0 0 16 16", aria_hidden="true"), shortened(name))
        for place, name in enumerate(names)
    ]
    return tag("div", figure("", picture), tag("ul", *rows, class_="legend listed"), class_="pair")


def mark(place: int, x: float, y: float) -> Markup:
    """A mark of group number `place`: a colour, and with every sixth group another shape."""
    ink = {"fill": f"var(--c{place % COLOURS})", "fill_opacity": 0.8}
    shape = place // COLOURS % 4
    if shape == 0:
        return tag("circle", cx=x, cy=y, r=3.6, **ink)
    corners = {
        1: ((-3.6, -3.6), (3.6, -3.6), (3.6, 3.6), (-3.6, 3.6)),
        2: ((0, -4.6), (4.2, 3.4), (-4.2, 3.4)),
        3: ((0, -5), (4, 0), (0, 5), (-4, 0)),
    }[shape]
    return tag("polygon", points=" ".join(f"{number(x + a)},{number(y + b)}" for a, b in corners), **ink)


def reliability(
    title: str, edges: NDArray[np.float64], accuracy: NDArray[np.float64], counts: NDArray[np.int64]
) -> Markup:
    """Accuracy within each bin of confidence beside the diagonal on which the two are equal."""
    axes = Axes((0.0, 1.0), (0.0, 1.0))
    parts = [axes.frame("confidence", "accuracy")]
    for left, right, share, count in zip(edges[:-1], edges[1:], accuracy, counts, strict=True):
        if not count:
            continue
        (x, top), (end, ground) = axes.place(left, share), axes.place(right, 0.0)
        told = f"confidence {left:.2f} to {right:.2f}: accuracy {share:.3f} of {count:,} queries"
        box = {"x": x + 1, "y": top, "width": end - x - 2, "height": max(ground - top, 0.5)}
        parts.append(tag("rect", tag("title", told), **box, fill="var(--c0)", fill_opacity=0.75))
    (x1, y1), (x2, y2) = axes.place(0, 0), axes.place(1, 1)
    parts.append(tag("line", x1=x1, y1=y1, x2=x2, y2=y2, **_stroke(1)))
    return figure(title, drawing(f"{title}: accuracy against confidence", *parts))


def bars(head: Sequence[str], rows: Sequence[tuple[str, float]]) -> Markup:
    """Shares in 0..1 as bars of a table."""
    body = join(
        tag(
            "tr",
            tag("td", shortened(name), title=name),
            tag("td", tag("span", class_="bar", style=f"width:{100 * share:.1f}%")),
            tag("td", f"{100 * share:.1f} %", class_="number"),
        )
        for name, share in rows
    )
    titles = tag("tr", *(tag("th", title, scope="col") for title in (head[0], "", head[1])))
    return tag("div", tag("table", tag("thead", titles), tag("tbody", body)), class_="bars")


def _line(axes: Axes, line: Line, place: int) -> Markup:
    parts = []
    for (x, y), half in zip(line.points, line.half_widths or [0.0] * len(line.points), strict=True):
        if half and math.isfinite(y):
            (a, low), (_, high) = axes.place(x, y - half), axes.place(x, y + half)
            parts.append(tag("line", x1=a, x2=a, y1=low, y2=high, **_stroke(place, dashed=False)))
    for piece in _pieces(line.points):
        written = " ".join(f"{number(a)},{number(b)}" for a, b in (axes.place(x, y) for x, y in piece))
        if len(piece) > 1:
            parts.append(
                tag("polyline", points=written, fill="none", stroke_linejoin="round", **_stroke(place))
            )
        if line.marked or len(piece) == 1:
            for x, y in piece:
                a, b = axes.place(x, y)
                told = tag("title", f"{line.name}, {label(x)}: {y:.4g}")
                parts.append(tag("circle", told, cx=a, cy=b, r=3, fill=f"var(--c{place % COLOURS})"))
    return join(parts)


def _pieces(points: Sequence[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    """Runs of points without a gap."""
    found: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if math.isfinite(y):
            found[-1].append((x, y))
        elif found[-1]:
            found.append([])
    return [piece for piece in found if piece]


def _thinned(line: Line) -> Line:
    """Means of neighbours where there are more points than a line of this width can show."""
    if len(line.points) <= _MOST_POINTS:
        return line
    groups = np.array_split(np.array(line.points), _MOST_POINTS)
    return Line(line.name, [(float(g[:, 0].mean()), float(g[:, 1].mean())) for g in groups])


def _stroke(place: int, dashed: bool = True) -> dict[str, object]:
    dashes = _DASHES[place % len(_DASHES)] if dashed else None
    return {"stroke": f"var(--c{place % COLOURS})", "stroke_width": 1.8, "stroke_dasharray": dashes}
