"""predictions.csv and predictions.json: every query image, one row each."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fewshot.errors import InputError
from fewshot.recipes.prediction import Prediction
from fewshot.recipes.prediction_rows import Rows
from fewshot.whole_file import whole_file

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet compute a cell."""


def write_files(folder: Path, prediction: Prediction, rows: Rows, top: int, nearest: int) -> None:
    """Write both files, each whole or not at all, without holding the rows.

    predictions.csv: query, class, probability, distance, unlike, spread, same_as, then class_2, ... and
    nearest_1, ...; files that could not be read stand in predictions.json alone. A cell that a spreadsheet
    would compute (it begins with = + - @) gets an apostrophe before it; predictions.json has the names as
    they are.

    Raises:
        InputError: the disk is full or the folder cannot be written.
    """
    support = prediction.head["support"]
    top = min(top, len(prediction.classes))
    nearest = min(nearest, len(support))
    counts = {
        "labelled": prediction.total,
        "unlike": prediction.unlike,
        "same": prediction.same,
        "classes": prediction.classes,
        "problems": list(prediction.problems),
    }
    head = json.dumps({**prediction.head, **counts}, indent=1, ensure_ascii=False, default=str)
    try:
        with whole_file(folder / "predictions.csv") as file:
            for line in _csv(rows, support, top, nearest):
                file.write(line)
        with whole_file(folder / "predictions.json") as file:
            file.write(f'{head.rstrip("}").rstrip()},\n "predictions": ['.encode())
            between = "\n"
            for row in rows:
                if "problem" not in row:
                    text = json.dumps(_named(row, support), ensure_ascii=False)
                    file.write(f"{between}  {text}".encode())
                    between = ",\n"
            file.write(b"\n ]\n}\n")
    except OSError as error:
        raise InputError(
            f"cannot write to {folder}: {error.strerror}; free space, then resume={folder}"
        ) from error


def _named(row: dict[str, Any], support: list[dict[str, str]]) -> dict[str, Any]:
    """A row with its support images by name."""
    near = zip(row["nearest"], row["nearest_distances"], strict=True)
    return {
        "query": row["query"],
        "unlike": row["unlike"],
        "spread": row["spread"],
        "same_as": None if row["same"] is None else support[row["same"]]["image"],
        "classes": [
            {"class": name, "probability": probability, "distance": distance}
            for name, probability, distance in zip(
                row["classes"], row["probabilities"], row["distances"], strict=True
            )
        ],
        "nearest": [{**support[at], "distance": distance} for at, distance in near],
    }


def _csv(rows: Rows, support: list[dict[str, str]], top: int, nearest: int) -> Iterator[bytes]:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    header = ["query", "class", "probability", "distance", "unlike", "spread", "same_as"]
    for rank in range(2, top + 1):
        header += [f"class_{rank}", f"probability_{rank}", f"distance_{rank}"]
    for rank in range(1, nearest + 1):
        header += [f"nearest_{rank}", f"nearest_class_{rank}", f"nearest_distance_{rank}"]
    writer.writerow(header)
    for row in rows:
        if "problem" not in row:
            named = _named(row, support)
            best, *others = (list(entry.values()) for entry in named["classes"])
            cells = [named["query"], *best, str(named["unlike"]).lower(), named["spread"], named["same_as"]]
            for further in (*others, *(list(entry.values()) for entry in named["nearest"])):
                cells += further
            writer.writerow([_safe(cell) for cell in cells])
        if buffer.tell() > 1 << 16:
            yield _emptied(buffer)
    yield _emptied(buffer)


def _emptied(buffer: io.StringIO) -> bytes:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text.encode()


def _safe(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
