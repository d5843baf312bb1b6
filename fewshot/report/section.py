"""One section of a report, or the line on why it is left out."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from fewshot.errors import InputError
from fewshot.report.markup import NOTHING, Markup, tag


class LeftOut(Exception):
    """There is nothing to show; its text says why."""


@dataclass(frozen=True)
class Section:
    """Attributes:
    title: its heading.
    body: what it shows; None if it is left out.
    why: it is left out.
    """

    title: str
    body: Markup | None
    why: str = ""

    @property
    def anchor(self) -> str:
        """Its name in links."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")

    def html(self) -> Markup:
        """The section; nothing if it is left out."""
        if self.body is None:
            return NOTHING
        heading = tag("h2", self.title, id=f"{self.anchor}-title")
        return tag("section", heading, self.body, id=self.anchor, aria_labelledby=f"{self.anchor}-title")


def section(title: str, make: Callable[[], Markup]) -> Section:
    """Make a section; files that do not hold what they should cost this section alone."""
    try:
        return Section(title, make())
    except LeftOut as reason:
        return Section(title, None, str(reason))
    except InputError as error:
        return Section(title, None, str(error))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, ArithmeticError) as error:
        said = (str(error).splitlines() or [""])[0]
        return Section(title, None, f"the files it is made from are damaged ({type(error).__name__}: {said})")
