"""Which classes are taken for which, over all episodes of a few-shot evaluation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fewshot.evaluation.accuracy import FewShotAccuracy
from fewshot.evaluation.result_files import SavedResult, read_result
from fewshot.report.charts import bars
from fewshot.report.heat_map import heat_map
from fewshot.report.markup import Markup, join, paragraph, table, tag
from fewshot.report.run_files import Result
from fewshot.report.section import LeftOut

CLASSES = 20
"""Classes in the picture at most, those of the lowest accuracy."""
PAIRS = 10
FEWEST = 5
"""Episodes in which two classes must have met for their rate to be shown."""
_LISTED = 10


def confusion(result: Result | None) -> Markup:
    """The confusion matrix, the pairs that are confused most, and the accuracy of each class."""
    if result is not None and result.kind == "retrieval":
        return _by_class(list(result.summary["per_class"].items()), "Recall@1")
    if result is not None and "episode" in result.summary:
        return _by_class(list(result.summary["per_class"].items()), "accuracy")
    accuracy, names = classified(result)
    numbers, counts = accuracy.confusion()
    place = {number: row for row, number in enumerate(numbers.tolist())}
    share = np.array([accuracy.per_class()[number] for number in numbers.tolist()])
    asked = _asked(accuracy, place)
    rates = np.divide(counts, asked, out=np.full(counts.shape, np.nan), where=asked > 0)
    hardest = np.sort(np.argsort(share, kind="stable")[:CLASSES])
    few = f"the {len(hardest)} of {len(numbers)} classes with the lowest accuracy"
    told = "all classes" if len(hardest) == len(numbers) else few
    chart = heat_map(
        "Confusion matrix",
        rates[np.ix_(hardest, hardest)],
        [names[row] for row in hardest],
        rows_are="true class",
        columns_are="taken for",
        low=0,
        high=1,
        scale=100,
    )
    note = paragraph(
        f"{told[0].upper()}{told[1:]}, {accuracy.shots}-shot. A cell is the share of the row's queries that "
        "were taken for the column's class in the episodes in which both were present; empty cells never met."
    )
    return join(
        (
            tag("div", tag("div", chart, note), _pairs(rates, asked, names, accuracy), class_="pair"),
            _by_class(list(zip(names, share.tolist(), strict=True)), "accuracy"),
        )
    )


def classified(result: Result | None) -> tuple[FewShotAccuracy, list[str]]:
    """What was predicted with the most shots, and the names of the classes in order of their numbers."""
    if result is None or result.kind != "few_shot":
        raise LeftOut("it is made from the episodes of a few-shot evaluation, and there is none")
    if "episode" in result.summary:
        raise LeftOut(f"it is made of balanced episodes, and these are {result.summary['episode']}")
    saved: SavedResult = read_result(result.folder)
    accuracy = FewShotAccuracy(int(saved.shots[-1]), saved.predictions[-1], saved.classes)
    names = [str(name) for name in saved.summary["per_class"]]
    if len(names) != len(np.unique(saved.classes)):
        raise LeftOut(f"the evaluation in {result.folder} is damaged (its classes have not one name each)")
    return accuracy, names


def _asked(accuracy: FewShotAccuracy, place: dict[int, int]) -> NDArray[np.int64]:
    """int64 [classes, classes]: queries of the row's class in episodes with the column's class."""
    rows = np.vectorize(place.__getitem__, otypes=[np.int64])(accuracy.classes)
    count = len(place)
    cells = rows[:, :, None] * count + rows[:, None, :]
    met = np.bincount(cells.reshape(-1), minlength=count * count).reshape(count, count)
    asked: NDArray[np.int64] = met * accuracy.predictions.shape[2]
    return asked


def _pairs(
    rates: NDArray[np.float64], asked: NDArray[np.int64], names: list[str], accuracy: FewShotAccuracy
) -> Markup:
    queries = accuracy.predictions.shape[2]
    ranked = np.where((asked >= FEWEST * queries) & ~np.eye(len(rates), dtype=bool), rates, -1.0)
    order = np.argsort(-ranked.reshape(-1), kind="stable")[:PAIRS]
    rows = []
    for cell in order:
        row, column = divmod(int(cell), len(rates))
        if ranked[row, column] > 0:
            met = f"{asked[row, column] // queries:,}"
            both = join((names[row], tag("br"), "→ ", names[column]))
            rows.append((both, f"{100 * rates[row, column]:.1f} %", met))
    if not rows:
        return paragraph("No class was taken for another one in the episodes in which both were present.")
    caption = f"Most confused, of pairs that met in {FEWEST} episodes or more"
    return table(("class → taken for", "share", "episodes"), rows, caption, wrapped=True)


def _by_class(rows: list[tuple[str, float]], measure: str) -> Markup:
    ranked = sorted(rows, key=lambda row: (row[1], row[0]))
    head = ("class", measure)
    if len(ranked) <= 2 * _LISTED:
        return join((tag("h3", f"{measure.capitalize()} of each class"), bars(head, ranked)))
    spread = ", ".join(f"{100 * q:.0f} %" for q in np.quantile([share for _, share in rows], (0.1, 0.5, 0.9)))
    title = tag(
        "h3", f"{measure.capitalize()} of the hardest and the easiest {_LISTED} of {len(rows)} classes"
    )
    return join(
        (
            title,
            tag("div", bars(head, ranked[:_LISTED]), bars(head, ranked[-_LISTED:][::-1]), class_="pair"),
            paragraph(f"10 %, half and 90 % of the classes lie below: {spread}. All are in result.json."),
        )
    )
