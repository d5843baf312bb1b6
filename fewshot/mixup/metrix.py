"""What Metrix mixes, where and how often; and its draws of a step (Venkataramanan et al. 2022, section 3)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from fewshot.errors import InputError

Where = Literal["input", "feature", "embedding"]
PairKind = Literal["positive_negative", "anchor_negative", "positive_positive", "negative_negative"]


@dataclass(frozen=True)
class Plan:
    """The draws of one step.

    Attributes:
        where: what is mixed.
        pairs: of which examples, relative to an anchor; None where the paper's alternation was asked for
            and the loss is to choose (`alternate`).
        lam: the factor of one draw for the whole batch.
        alternate: the pairs that the alternation gives in this step.
    """

    where: Where
    pairs: PairKind | None
    alternate: PairKind
    alpha: float
    each_pair: bool
    draw: np.random.Generator

    def lam(self, shape: tuple[int, ...], device: torch.device) -> Tensor | float:
        """lam ~ Beta(alpha, alpha): one number for the batch, or one for each pair, float32 of `shape`."""
        if not self.each_pair:
            return float(self.draw.beta(self.alpha, self.alpha))
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
        hardest: partners of each example where the network runs on mixed examples (images and
            earlier stages): its most similar ones. The cost is that many further forwards.
        limit: the same for the last map and for embeddings; None mixes all pairs, at little cost.
        stage: name of the backbone's stage whose map is mixed; None: the last one, which needs no
            further pass through the backbone.
        draw: one lam for the "batch", or one for each "pair".
        episode: what is mixed in episodes: "queries" (against the prototypes), "supports" (of two
            classes, to mixed prototypes that queries are compared with), or "both".

    Raises:
        InputError: a number out of its range.
    """

    where: Literal["input", "feature", "embedding", "random"] = "feature"
    pairs: PairKind | Literal["alternate"] = "alternate"
    alpha: float = 2.0
    weight: float = 0.4
    hardest: int = 3
    limit: int | None = None
    stage: str | None = None
    draw: Literal["batch", "pair"] = "batch"
    episode: Literal["queries", "supports", "both"] = "queries"

    def __post_init__(self) -> None:
        for name in ("alpha", "weight"):
            value = getattr(self, name)
            if not (value > 0 and math.isfinite(value)):
                raise InputError(f"mixup.{name}={value} must be a finite number above 0")
        for name in ("hardest", "limit"):
            count = getattr(self, name)
            if count is not None and count < 1:
                raise InputError(f"mixup.{name}={count} must be at least 1")
        if self.stage is not None and self.where not in ("feature", "random"):
            raise InputError(f"mixup.stage={self.stage} is a place of feature mixing: use mixup=feature")

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
            each_pair=self.draw == "pair",
            draw=draw,
        )
