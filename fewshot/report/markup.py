"""HTML and SVG that cannot be broken into: text is escaped unless it was made here."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable


class Markup(str):
    """Text that is HTML already. Everything else is escaped when it becomes part of an element."""

    __slots__ = ()


NOTHING = Markup("")
_FIGURE = re.compile(r"-?[\d.,]+( ± [\d.]+)?( %)?")
_EMPTY = frozenset({"br", "img", "meta", "rect", "line", "circle", "path", "polyline", "polygon"})


def tag(element: str, *content: object, **attributes: object) -> Markup:
    """An element.

    Args:
        element: its name.
        content: its children; what is no `Markup` becomes escaped text.
        attributes: `class_` is class, `stroke_width` stroke-width; True stands alone, None and False are
            left out, numbers are written short.
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    if element in _EMPTY and not content:
        return Markup(
            f"<{element}{written}>" if element in ("br", "img", "meta") else f"<{element}{written}/>"
        )
    return Markup(f"<{element}{written}>{join(content)}</{element}>")


def join(parts: Iterable[object], between: str = "") -> Markup:
    """Parts one after another, escaped where they are no `Markup`."""
    return Markup(html.escape(between).join(_safe(part) for part in parts))


def paragraph(*content: object) -> Markup:
    """A paragraph of notes under a figure."""
    return tag("p", *content, class_="note")


def table(
    head: Iterable[object],
    rows: Iterable[Iterable[object]],
    caption: str,
    *,
    wrapped: bool = False,
    headed: bool = False,
) -> Markup:
    """A table that scrolls sideways by itself; with `wrapped` it breaks its lines to fit instead.

    `headed` leaves the caption to screen readers, where a heading says the same.
    """
    body = join(tag("tr", *(_cell(cell) for cell in row)) for row in rows)
    return tag(
        "div",
        tag(
            "table",
            tag("caption", caption, class_="unseen" if headed else None),
            tag("thead", tag("tr", *(tag("th", title, scope="col") for title in head))),
            tag("tbody", body),
            class_="wrapped" if wrapped else None,
        ),
        class_="scroll",
        tabindex="0",
        role="region",
        aria_label=caption,
    )


def percent(share: float | None, digits: int = 2) -> str:
    """A share as per cent; a dash where there is none."""
    return "-" if share is None or share != share else f"{100 * share:.{digits}f} %"


def number(value: float) -> str:
    """A coordinate or a figure, short and without an exponent."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def shortened(name: str, most: int = 28) -> str:
    """A name of at most `most` characters: its end tells more than its middle."""
    return name if len(name) <= most else f"{name[: most // 2 - 1]}…{name[-(most - most // 2) :]}"


def _cell(content: object) -> Markup:
    return tag("td", content, class_="number" if _FIGURE.fullmatch(str(content)) else None)


def _safe(part: object) -> str:
    return part if isinstance(part, Markup) else html.escape(str(part))


def _attribute(key: str, value: object) -> str:
    if value is None or value is False:
        return ""
    # viewBox and the like keep their capitals; no name of an attribute comes from a user.
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    text = number(value) if isinstance(value, (int, float)) else str(value)
    return f' {name}="{html.escape(text)}"'
