"""index.html of a prediction: one file to look at, with its thumbnails in it."""

from __future__ import annotations

import base64
import hashlib
import heapq
import io
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from fewshot.data.decoding import decode
from fewshot.data.image_folders import printable
from fewshot.data.labelling import Found
from fewshot.errors import InputError
from fewshot.progress import Progress
from fewshot.recipes.prediction import Prediction
from fewshot.recipes.prediction_rows import Rows
from fewshot.recipes.prediction_style import SCRIPT, STYLE
from fewshot.recipes.support import Support
from fewshot.whole_file import whole_file

_SIDE = 112
"""Longer side of a thumbnail in pixels; smaller images stay as they are."""

_CLASSES, _OF_CLASS, _PROBLEMS = 200, 5, 200
"""How many classes, support images of each, and problems the page shows."""


class _Thumbnail(NamedTuple):
    uri: str
    small: bool
    """Whether the image itself is that small, so that its pixels are shown as squares."""


def write_page(
    folder: Path, prediction: Prediction, support: Support, query: Found, rows: Rows, most: int
) -> None:
    """Write the page, whole or not at all.

    With more than `most` query images it shows those that want a look: the most unlike the support first,
    then those of the lowest probability. Every name of a class or file is escaped, each image is decoded
    and encoded anew, and the page's own policy allows no script but its own and nothing from elsewhere.

    Raises:
        InputError: the disk is full or the folder cannot be written.
    """
    cards = _chosen(rows, most)
    first_of_class = _first_of_each(support)
    wanted = {at for rows_ in first_of_class.values() for at in rows_}
    wanted.update(at for row in cards for at in row["nearest"])
    images = [(support.paths[at], f"s{at}") for at in sorted(wanted)]
    images += [(query.paths[row["number"]], f"q{row['number']}") for row in cards]
    with Progress("drawing the page", len(images), "images") as progress, _pool() as pool:
        thumbnails: dict[str, _Thumbnail] = {}
        made = pool.map(_thumbnail, [path for path, _ in images])
        for (_, key), thumbnail in zip(images, made, strict=True):
            if thumbnail is not None:
                thumbnails[key] = thumbnail
            progress.advance()
    try:
        with whole_file(folder / "index.html") as file:
            for part in _page(prediction, support, cards, first_of_class, thumbnails):
                file.write(part.encode())
    except OSError as error:
        raise InputError(
            f"cannot write to {folder}: {error.strerror}; free space, then resume={folder}"
        ) from error


def _chosen(rows: Rows, most: int) -> list[dict[str, Any]]:
    """The rows that are shown, in the order of their files; see `write_page`."""
    labelled = (row for row in rows if "problem" not in row)

    def worth(row: dict[str, Any]) -> tuple[float, float, int]:
        return (-row["spread"] if row["unlike"] else 0.0, row["probabilities"][0], row["number"])

    return sorted(heapq.nsmallest(most, labelled, key=worth), key=lambda row: int(row["number"]))


def _first_of_each(support: Support) -> dict[int, list[int]]:
    """The first support rows of each of the first classes."""
    found: dict[int, list[int]] = {label: [] for label in range(min(len(support.classes), _CLASSES))}
    for at, label in enumerate(support.labels.tolist()):
        if label in found and len(found[label]) < _OF_CLASS:
            found[label].append(at)
    return found


def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(16, os.cpu_count() or 1))


def _thumbnail(path: Path) -> _Thumbnail | None:
    """A file as a data URI; None if it has gone since it was labelled."""
    try:
        pixels = decode(path.read_bytes(), printable(str(path)))
    except (OSError, InputError):
        return None
    image = Image.fromarray(pixels)
    small = max(image.size) <= 48
    image.thumbnail((_SIDE, _SIDE), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    if small:
        image.save(buffer, "PNG", optimize=True)
    else:
        image.save(buffer, "JPEG", quality=82)
    kind = "png" if small else "jpeg"
    return _Thumbnail(f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}", small)


def _page(
    prediction: Prediction,
    support: Support,
    cards: Sequence[dict[str, Any]],
    first_of_class: dict[int, list[int]],
    thumbnails: dict[str, _Thumbnail],
) -> Iterator[str]:
    script = f"\n{SCRIPT}\n"
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    title = f"{prediction.total:,} images, {len(support.classes):,} classes"
    yield (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Predictions: {title}</title>\n<style>\n{STYLE}\n"
    )
    for key, thumbnail in thumbnails.items():
        if key.startswith("s"):
            yield f".{key}{{background-image:url({thumbnail.uri})}}\n"
    yield "</style>\n</head>\n"
    yield from _header(prediction, title)
    yield '<main>\n<h2>Support</h2>\n<div class="classes">\n'
    for label, rows in first_of_class.items():
        yield _class(prediction, support, label, rows, thumbnails)
    yield "</div>\n"
    if len(support.classes) > len(first_of_class):
        yield f"<p>The first {len(first_of_class)} of {len(support.classes):,} classes.</p>\n"
    yield from _query(prediction, support, cards, thumbnails)
    if prediction.problems:
        yield "<h2>Left out, or there twice</h2>\n<ul>\n"
        yield from (f"<li>{escape(problem)}</li>\n" for problem in prediction.problems[:_PROBLEMS])
        yield "</ul>\n"
        if len(prediction.problems) > _PROBLEMS:
            yield f"<p>and {len(prediction.problems) - _PROBLEMS:,} more in predictions.json.</p>\n"
    yield (
        "</main>\n<footer>Probabilities are softmax(scores / temperature) over the classes of the support "
        "alone: an image of another class has a most probable class too, which is what the mark “unlike” "
        "is for. Made by fewshot; predictions.csv and predictions.json hold every image.</footer>\n"
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def _header(prediction: Prediction, title: str) -> Iterator[str]:
    head = prediction.head
    figures = [(f"{prediction.total:,}", "images labelled"), (f"{prediction.unlike:,}", "unlike the support")]
    if head["left_out_accuracy"] is not None:
        figures.append((f"{head['left_out_accuracy']:.0%}", "of support images right, left out"))
    if prediction.named:
        figures.append((f"{prediction.agreeing / prediction.named:.1%}", "agree with their folder's name"))
    if prediction.same:
        figures.append((f"{prediction.same:,}", "are in the support too"))
    yield f'<body>\n<header>\n<h1>{title}</h1>\n<div class="figures">\n'
    for value, name in figures:
        yield f'<div class="figure"><b>{value}</b><span>{name}</span></div>\n'
    yield "</div>\n<table>\n"
    query = head["query_of"]
    told = [
        ("Model", head["model"]),
        ("Support", head["support_folder"]),
        ("Query", query if isinstance(query, str) else f"{len(query)} paths"),
        ("Classifier", f"{head['classifier']}, temperature {head['temperature']:.3g}"),
        ("Unlike", prediction.rule()),
    ]
    for name, value in told:
        yield f"<tr><th>{name}</th><td>{escape(printable(str(value)))}</td></tr>\n"
    yield "</table>\n</header>\n"


def _class(
    prediction: Prediction, support: Support, label: int, rows: list[int], thumbnails: dict[str, _Thumbnail]
) -> str:
    name = support.classes[label]
    count = prediction.head["support_counts"][name]
    strip = "".join(_supported(at, support, thumbnails) for at in rows)
    told = f"{count} image{'s' if count > 1 else ''}; {prediction.classes[name]:,} labelled so"
    title = f"<h3>{escape(name)} <small>{told}</small></h3>"
    return f'<div class="class">{title}<div class="strip">{strip}</div></div>\n'


def _supported(at: int, support: Support, thumbnails: dict[str, _Thumbnail]) -> str:
    """A support image; its pixels stand in the style sheet once, however often it is shown."""
    name = escape(support.name(at))
    drawn = thumbnails.get(f"s{at}")
    small = " small" if drawn is not None and drawn.small else ""
    return f'<span class="thumb s{at}{small}" role="img" title="{name}" aria-label="{name}"></span>'


def _query(
    prediction: Prediction,
    support: Support,
    cards: Sequence[dict[str, Any]],
    thumbnails: dict[str, _Thumbnail],
) -> Iterator[str]:
    yield "<h2>Query</h2>\n<p>Beside each class: its probability, and the distance to its prototype.</p>\n"
    if len(cards) < prediction.total:
        yield (
            f"<p>{len(cards):,} of {prediction.total:,} images: the most unlike the support, then the least "
            "certain (thumbnails=NUMBER shows more).</p>\n"
        )
    number = {name: i for i, name in enumerate(support.classes)}
    used = dict.fromkeys(row["classes"][0] for row in cards)
    options = "".join(f'<option value="{number[name]}">{escape(name)}</option>' for name in sorted(used))
    yield (
        '<form hidden><label>Class <select name="class"><option value="">all</option>'
        f'{options}</select></label><label>Show <select name="what"><option value="">all</option>'
        '<option value="unlike">unlike the support</option><option value="unsure">below 50 %</option>'
        '<option value="same">in the support too</option></select></label><span id="shown"></span></form>\n'
        '<div class="cards">\n'
    )
    for row in cards:
        yield _card(row, support, thumbnails, number[row["classes"][0]])
    yield "</div>\n"


def _card(row: dict[str, Any], support: Support, thumbnails: dict[str, _Thumbnail], label: int) -> str:
    drawn = thumbnails.get(f"q{row['number']}")
    picture = (
        '<div class="none">no longer there</div>'
        if drawn is None
        else f'<img src="{drawn.uri}" alt=""{" class=small" if drawn.small else ""} loading="lazy">'
    )
    badges, flags = "", []
    if row["unlike"]:
        flags.append("unlike")
        badges += f'<span class="badge unlike">unlike the support (spread {row["spread"]:.3g})</span>'
    if row["same"] is not None:
        flags.append("same")
        badges += f'<span class="badge same">the same as {escape(support.name(row["same"]))}</span>'
    if row["probabilities"][0] < 0.5:
        flags.append("unsure")
    entries = "".join(
        f'<div class="row"><b>{escape(name)}</b><span>{probability:.1%} at {distance:.3g}</span>'
        f'<div class="bar"><i style="width:{100 * probability:.1f}%"></i></div></div>'
        for name, probability, distance in zip(
            row["classes"], row["probabilities"], row["distances"], strict=True
        )
    )
    near = "".join(_supported(at, support, thumbnails) for at in row["nearest"])
    return (
        f'<article class="card" data-class="{label}" data-flags="{" ".join(flags)}">{picture}'
        f'<div>{entries}</div><div>{badges}<div class="name">{escape(row["query"])}</div></div>'
        f'<div class="near">nearest {near}</div></article>\n'
    )
