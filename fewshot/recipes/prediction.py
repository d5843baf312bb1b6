"""What a prediction says of itself, as its files, its page and its printed summary tell it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from fewshot.config import plain
from fewshot.data.image_folders import printable
from fewshot.data.labelling import Found
from fewshot.evaluation.labeller import Labeller
from fewshot.recipes.encoder import Encoder
from fewshot.recipes.prediction_rows import Rows
from fewshot.recipes.support import Support


@dataclass(frozen=True)
class Prediction:
    """What a prediction says of itself, and counts over its rows.

    Attributes:
        head: plain values for the result file.
        classes: query images of each support class, those that are unlike it included.
        total, unlike, same: numbers of labelled query images, and of those unlike the support or in it.
        problems: one line for each file that was left out, and for images that are there twice.
        agreeing, named: of the query images in a folder called like a class, how many got that class.
    """

    head: dict[str, Any]
    classes: dict[str, int]
    total: int
    unlike: int
    same: int
    problems: tuple[str, ...]
    agreeing: int
    named: int

    @classmethod
    def of(
        cls,
        config: DictConfig,
        encoder: Encoder,
        support: Support,
        query: Found,
        labeller: Labeller,
        rows: Rows,
    ) -> Prediction:
        """Count over the rows of a prediction."""
        classes = dict.fromkeys(support.classes, 0)
        problems = [*support.problems]
        why = "left out, its name does not end like an image's"
        problems += [f"{printable(str(path))}: {why}" for path in query.left_out]
        total = unlike = same = agreeing = named = 0
        for row in rows:
            if "problem" in row:
                problems.append(row["problem"])
                continue
            best = row["classes"][0]
            classes[best] += 1
            total += 1
            unlike += row["unlike"]
            same += row["same"] is not None
            folder = row["query"].rpartition("/")[0]
            if folder in classes:
                named += 1
                agreeing += folder == best
        prototypes = labeller.prototypes
        numbers = support.labels.tolist()
        finite = prototypes.threshold < float("inf")
        head = {
            **encoder.describe(),
            "support_folder": str(support.root.absolute()),
            "support": [
                {"image": support.name(row), "class": support.classes[number]}
                for row, number in enumerate(numbers)
            ],
            "support_counts": dict(zip(support.classes, support.counts, strict=True)),
            "query_of": plain(config)["query"],
            "classifier": str(config.choices.classifier),
            "temperature": labeller.temperature,
            "left_out_accuracy": labeller.accuracy,
            "threshold": prototypes.threshold if finite else None,
            "threshold_rule": prototypes.rule,
            "machine": encoder.machine.describe(),
            "config": plain(config),
        }
        return cls(head, classes, total, unlike, same, tuple(problems), agreeing, named)

    def summary(self) -> str:
        """What is printed."""
        head = self.head
        counts = head["support_counts"]
        images = sum(counts.values())
        left_out = head["left_out_accuracy"]
        judged = "" if left_out is None else f"; left out, {left_out:.0%} are labelled right by the others"
        shown = sorted(self.classes.items(), key=lambda item: -item[1])
        found = ", ".join(f"{name} {count}" for name, count in shown[:8] if count)
        more = len([count for _, count in shown[8:] if count])
        given = f"{_count(len(counts), 'class', 'classes')}, {_count(images, 'image', 'images')}"
        lines = [
            f"model      {head['model']}",
            f"support    {given}{judged}",
            f"query      {_count(self.total, 'image', 'images')} labelled",
            f"classifier {head['classifier']}, probabilities at temperature {head['temperature']:.3g}",
            f"labels     {found}{f', and {more} classes more' if more else ''}",
            f"unlike     {self.unlike} unlike anything in the support: {self.rule()}",
        ]
        if self.named:
            share = self.agreeing / self.named
            agreeing = f"{self.agreeing} of {self.named} ({share:.1%})"
            lines.append(f"folders    {agreeing} in a folder called like a class got that class")
        if self.same:
            both = _count(self.same, "query image is", "query images are")
            lines.append(f"same       {both} in the support too")
        if self.problems:
            others = len(self.problems) - 1
            further = f", and {others} more in predictions.json" if others else ""
            lines.append(f"problems   {self.problems[0]}{further}")
        return "\n".join(lines)

    def rule(self) -> str:
        """One phrase on the threshold."""
        threshold = self.head["threshold"]
        if threshold is None:
            return str(self.head["threshold_rule"])
        return f"spread above {threshold:.4g} ({self.head['threshold_rule']})"


def _count(number: int, one: str, several: str) -> str:
    return f"{number:,} {one if number == 1 else several}"
