"""What Metrix mixes, where and how often; and its draws of a step (Venkataramanan et al. 2022, section 3)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from fewshot.errors import InputError
from fewshot.not_compiled import not_compiled

Where = Literal["input", "feature", "embedding"]
PairKind = Literal["positive_negative", "anchor_negative", "positive_positive", "negative_negative"]


@dataclass(frozen=True)
class Plan:
    """The draws of one step.

    Attributes:
        where: what is mixed.
        pairs: of which examples, relative to an anchor; None where the paper's alternation was asked for
            and the loss is to choose (`alternate`).
        alternate: the pairs that the alternation gives in this step.
        alpha: of the Beta distribution.
        whole: lam of the whole step; None where each pair draws its own.
        draw: of the lam of pairs.
    """

    where: Where
    pairs: PairKind | None
    alternate: PairKind
    alpha: float
    whole: float | None
    draw: np.random.Generator

    @not_compiled
    def lam(self, shape: tuple[int, ...], device: torch.device) -> Tensor | float:
        """lam ~ Beta(alpha, alpha): one number for the step, or one for each pair, float32 of `shape`."""
        if self.whole is not None:
            return self.whole
        drawn = self.draw.beta(self.alpha, self.alpha, shape).astype(np.float32)
        return torch.from_numpy(drawn).to(device, non_blocking=True)


@dataclass(frozen=True)
class Metrix:
    """The clean loss plus `weight` times the loss of mixed examples, for losses of the generic form.

    mix(x, x') = lam x + (1 - lam) x', lam ~ Beta(alpha, alpha), of labels as well.

    Attributes:
        where: "input" mixes images and runs the network on them; "feature" mixes the map that leaves
            `stage`; "embedding" mixes embeddings; "random" draws one of the three each step.
        pairs: which examples of an anchor are mixed: "positive_negative", "anchor_negative",
            "positive_positive", "negative_negative", or "alternate", one of the first two at random each step
            (the paper's choice). Where anchors are proxies, "alternate" is positive_negative.
        alpha: of the Beta distribution.
        weight: w of the mixed loss.
        hardest: partners of each example, its most similar ones; None: 3 where the network runs on mixed
            examples (images and earlier stages), at the cost of that many further forwards, and all on the
            last map and on embeddings, at little cost.
        stage: name of the backbone's stage whose map is mixed; None: the last one, which needs no
            further pass through the backbone.
        draw: one lam for the "batch", or one for each "pair"; None: for the batch, as in the paper, but for
            each pair where one lam would leave the loss a constant (`Form.alike`).
        episode: what is mixed in episodes: "queries" (against the prototypes), "supports" (of two
            classes, to mixed prototypes that queries are compared with), or "both".

    Raises:
        InputError: a number out of its range.
    """

    where: Literal["input", "feature", "embedding", "random"] = "feature"
    pairs: PairKind | Literal["alternate"] = "alternate"
    alpha: float = 2.0
    weight: float = 0.4
    hardest: int | None = None
    stage: str | None = None
    draw: Literal["batch", "pair"] | None = None
    episode: Literal["queries", "supports", "both"] = "queries"

    def __post_init__(self) -> None:
        for name in ("alpha", "weight"):
            value = getattr(self, name)
            if not (value > 0 and math.isfinite(value)):
                raise InputError(f"mixup.{name}={value} must be a finite number above 0")
        if self.hardest is not None and self.hardest < 1:
            raise InputError(f"mixup.hardest={self.hardest} must be at least 1, or null")
        if self.stage is not None and self.where not in ("feature", "random"):
            raise InputError(f"mixup.stage={self.stage} is a place of feature mixing: use mixup=feature")

    @not_compiled
    def plan(self, generator: torch.Generator) -> Plan:
        """The draws of a step, a function of the generator's seed alone.

        They are made on the host, so that nothing waits for the device and all devices draw alike.
        """
        draw = np.random.default_rng(generator.initial_seed())
        places: tuple[Where, ...] = ("input", "feature", "embedding")
        drawn = places[draw.integers(len(places))]
        alternate: PairKind = "positive_negative" if draw.integers(2) else "anchor_negative"
        return Plan(
            where=drawn if self.where == "random" else self.where,
            pairs=None if self.pairs == "alternate" else self.pairs,
            alternate=alternate,
            alpha=self.alpha,
            whole=None if self.draw == "pair" else float(draw.beta(self.alpha, self.alpha)),
            draw=draw,
        )
