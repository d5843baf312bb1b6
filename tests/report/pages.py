"""A page as a browser would take it apart."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Attributes:
    elements: (name, attributes) of all, in order.
    sections: text of each section by its id.
    headings: text of each h2.
    unbalanced: end tags that closed nothing of theirs, and elements never closed.
    """

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.sections: dict[str, str] = {}
        self.headings: list[str] = []
        self.unbalanced: list[str] = []
        self._open: list[tuple[str, str | None]] = []
        self.feed(html)
        self.close()
        self.unbalanced += [name for name, _ in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append((tag, dict(attrs).get("id")))
        if tag == "h2":
            self.headings.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if self._open and self._open[-1][0] == tag:
            self._open.pop()
        else:
            self.unbalanced.append(tag)

    def handle_data(self, data: str) -> None:
        if any(name == "h2" for name, _ in self._open):
            self.headings[-1] += data
        for name, anchor in self._open:
            if name == "section" and anchor:
                self.sections[anchor] = self.sections.get(anchor, "") + data

    def of(self, name: str) -> list[dict[str, str | None]]:
        """Attributes of each element of that name."""
        return [attributes for element, attributes in self.elements if element == name]


def assert_sound(html: str) -> Page:
    """Well formed, self-contained, without scripts, and told to who cannot see it."""
    page = Page(html)
    assert page.unbalanced == []
    names = {name for name, _ in page.elements}
    assert not names & {"script", "link", "iframe", "object", "form", "base"}
    for name, attributes in page.elements:
        assert not any(key.startswith("on") for key in attributes), (name, attributes)
        assert not str(attributes.get("href", "")).lower().startswith(("javascript", "data"))
    assert all(str(image["src"]).startswith("data:image/") and image["alt"] for image in page.of("img"))
    assert all(svg.get("aria-label") or svg.get("aria-hidden") for svg in page.of("svg"))
    anchors = [str(attributes["id"]) for _, attributes in page.elements if "id" in attributes]
    assert len(anchors) == len(set(anchors))
    assert all(str(link["href"])[1:] in anchors for link in page.of("a") if str(link["href"])[0] == "#")
    assert "http://" not in html and "https://" not in html
    return page
