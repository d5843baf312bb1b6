"""The episodes with the most mistakes: their supports, and the queries that were labelled wrongly."""

from __future__ import annotations

import numpy as np

from fewshot.evaluation.accuracy import FewShotAccuracy
from fewshot.evaluation.evaluated_images import EvaluatedImages
from fewshot.report.confusion import classified
from fewshot.report.markup import NOTHING, Markup, join, paragraph, tag
from fewshot.report.run_files import Result
from fewshot.report.section import LeftOut
from fewshot.report.thumbnails import group, thumbnail

EPISODES, WAYS, SUPPORTS, WRONG = 3, 5, 3, 6
"""Episodes, ways of each, and supports and wrong queries of each way that are shown at most."""


def hardest_episodes(result: Result | None, images: EvaluatedImages | str) -> Markup:
    """The hardest episodes with their images."""
    accuracy, _ = classified(result)
    if isinstance(images, str):
        raise LeftOut(images)
    if images.testbed is None or not np.array_equal(images.testbed.classes, accuracy.classes):
        raise LeftOut("the episodes cannot be drawn again from the images that are here now")
    shares = accuracy.accuracies
    order = np.argsort(shares, kind="stable")[:EPISODES]
    mean = 100 * shares.mean()
    told = (
        f"The {len(order)} of {len(shares):,} episodes with the lowest accuracy ({accuracy.shots}-shot; "
        f"the mean is {mean:.1f} %). Of each: the {WAYS} ways with most mistakes, {SUPPORTS} supports and "
        f"{WRONG} wrong queries of each at most. A dashed border marks a wrong query."
    )
    return join((paragraph(told), *(_episode(int(number), accuracy, images) for number in order)))


def _episode(number: int, accuracy: FewShotAccuracy, images: EvaluatedImages) -> Markup:
    assert images.testbed is not None
    wrong = ~accuracy.correct[number]
    if not wrong.any():
        return paragraph(f"Episode {number}: no mistake.")
    ways = [w for w in np.argsort(-wrong.sum(1), kind="stable")[:WAYS] if wrong[w].any()]
    names = [images.class_name(int(of)) for of in accuracy.classes[number]]
    rows = []
    for way in ways:
        of_way = images.testbed.images[number, way]
        queries = np.flatnonzero(wrong[way])
        supports = [
            thumbnail(images.image_set, int(image), f"support of {names[way]}")
            for image in of_way[: min(accuracy.shots, SUPPORTS)]
        ]
        shown = [group("support", supports)]
        by_answer: dict[str, list[Markup]] = {}
        for query in queries[:WRONG]:
            taken = names[int(accuracy.predictions[number, way, query])]
            image = int(of_way[images.testbed.shots + query])
            told = f"query of {names[way]}, taken for {taken}"
            by_answer.setdefault(taken, []).append(thumbnail(images.image_set, image, told, kind="wrong"))
        shown += [group(f"taken for {taken}", wrongly) for taken, wrongly in by_answer.items()]
        total = accuracy.predictions.shape[2]
        title = tag("p", tag("b", names[way]), f", {len(queries)} of {total} queries wrong")
        rows.append(join((title, tag("div", *shown, class_="row"))))
    others = int((~wrong.any(1)).sum())
    rest = paragraph(f"Ways without a mistake: {others}.") if others else NOTHING
    title = tag("h3", f"Episode {number}: {100 * accuracy.accuracies[number]:.1f} %")
    return join((title, *rows, rest))
