"""The generic form by loops over anchors and labelled examples, as Metrix prints it (arXiv 2106.04990).

`forms` holds tau, sigma and rho of each loss as plain functions of numbers, written from the papers. Nothing
of the package is used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Vector = Sequence[float]
Example = tuple[float, float]
"""(similarity to the anchor, y)."""


def dot(a: Vector, b: Vector) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def unit(a: Vector) -> list[float]:
    length = max(math.sqrt(dot(a, a)), 1e-4)
    return [x / length for x in a]


def squared_distance(a: Vector, b: Vector) -> float:
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


SIMILARITIES: dict[str, Callable[[Vector, Vector], float]] = {
    "cosine": lambda a, b: dot(unit(a), unit(b)),
    "dot": dot,
    "euclidean": lambda a, b: -math.sqrt(squared_distance(a, b) + 1e-6),
    "squared_euclidean": lambda a, b: -squared_distance(a, b),
}


def mix(a: Vector, b: Vector, lam: float, kind: str) -> list[float]:
    """The mixed embedding itself: of unit vectors for cosines, of the vectors as they are otherwise."""
    if kind == "cosine":
        a, b = unit(a), unit(b)
    return [lam * x + (1 - lam) * y for x, y in zip(a, b, strict=True)]


@dataclass(frozen=True)
class Naive:
    """A loss: tau, sigma+, sigma-, rho+, rho- as functions of numbers; `log` where sigma is a logarithm."""

    similarity: str
    rho_positive: Callable[[float], float]
    rho_negative: Callable[[float], float]
    sigma_positive: Callable[[float], float]
    sigma_negative: Callable[[float], float]
    tau: Callable[[float], float] = lambda x: x
    log: bool = False

    def anchor(self, examples: Sequence[Example]) -> float:
        """l(a); 0 where a logarithm would be of an empty sum."""
        positive = sum(y * self.rho_positive(s) for s, y in examples)
        negative = sum((1 - y) * self.rho_negative(s) for s, y in examples)
        if self.log and (not any(y > 0 for _, y in examples) or not any(y < 1 for _, y in examples)):
            return 0.0
        return self.tau(self.sigma_positive(positive) + self.sigma_negative(negative))


def identity(x: float) -> float:
    return x


def softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def softmax(similarity: str, temperature: float, excluded: bool = False) -> Naive:
    def rho(s: float) -> float:
        return math.exp(s / temperature)

    return Naive(
        similarity, rho, rho, lambda x: -math.log(x), math.log, identity if excluded else softplus, True
    )


def contrastive(margin: float = 0.5) -> Naive:
    return Naive("cosine", lambda s: -s, lambda s: max(0.0, s - margin), identity, identity)


def official_contrastive(margin: float = 0.5) -> Naive:
    def distance(s: float) -> float:
        return math.sqrt(max(0.0, 2 - 2 * s) + 1e-6)

    return Naive("cosine", distance, lambda s: max(0.0, margin - distance(s)), identity, identity)


def multi_similarity(beta: float = 18.0, gamma: float = 75.0, margin: float = 0.77) -> Naive:
    return Naive(
        "cosine",
        lambda s: math.exp(-beta * (s - margin)),
        lambda s: math.exp(gamma * (s - margin)),
        lambda x: math.log(1 + x) / beta,
        lambda x: math.log(1 + x) / gamma,
    )


def binomial_deviance(beta: float = 2.0, gamma: float = 50.0, margin: float = 0.5) -> Naive:
    return Naive(
        "cosine",
        lambda s: math.log1p(math.exp(-beta * (s - margin))),
        lambda s: math.log1p(math.exp(gamma * (s - margin))),
        identity,
        identity,
    )


def lifted(margin: float = 1.0, similarity: str = "euclidean") -> Naive:
    return Naive(
        similarity,
        lambda s: math.exp(-s),
        lambda s: math.exp(s + margin),
        math.log,
        math.log,
        lambda x: max(0.0, x),
        True,
    )


def proxy_anchor(beta: float = 32.0, margin: float = 0.1) -> Naive:
    return Naive(
        "cosine",
        lambda s: math.exp(-beta * (s - margin)),
        lambda s: math.exp(beta * (s + margin)),
        lambda x: math.log(1 + x),
        lambda x: math.log(1 + x),
    )


def soft_triple(scale: float = 20.0, margin: float = 0.01) -> Naive:
    return Naive(
        "cosine",
        lambda s: math.exp(scale * (s - margin)),
        lambda s: math.exp(scale * s),
        lambda x: -math.log(x),
        math.log,
        softplus,
        True,
    )


def soft_triple_score(similarities: Sequence[float], gamma: float = 0.1) -> float:
    """Score of one class from the similarities to its proxies."""
    weights = [math.exp(s / gamma) for s in similarities]
    return sum(w * s for w, s in zip(weights, similarities, strict=True)) / sum(weights)


def sums(naive: Naive, anchors: Sequence[Sequence[Example]]) -> float:
    """Reduction "sum": mean over all anchors, empty ones count."""
    return sum(naive.anchor(examples) for examples in anchors) / len(anchors)


def means(naive: Naive, anchors: Sequence[Sequence[Example]]) -> float:
    """Reduction "mean": each side of an anchor divided by its number of pairs."""
    total = 0.0
    for examples in anchors:
        positive = [y * naive.rho_positive(s) for s, y in examples if y > 0]
        negative = [(1 - y) * naive.rho_negative(s) for s, y in examples if y < 1]
        total += sum(positive) / max(1, len(positive)) + sum(negative) / max(1, len(negative))
    return total / len(anchors)


def nonzero(naive: Naive, anchors: Sequence[Sequence[Example]]) -> float:
    """Reduction "nonzero": each side averaged over all pairs whose rho is not 0."""
    both = [example for examples in anchors for example in examples]
    positive = [y * naive.rho_positive(s) for s, y in both if y > 0 and naive.rho_positive(s) != 0]
    negative = [(1 - y) * naive.rho_negative(s) for s, y in both if y < 1 and naive.rho_negative(s) != 0]
    return sum(positive) / max(1, len(positive)) + sum(negative) / max(1, len(negative))


def with_positive(naive: Naive, anchors: Sequence[Sequence[Example]]) -> float:
    """Average over the anchors with a positive example."""
    counted = [examples for examples in anchors if any(y > 0 for _, y in examples)]
    return sum(naive.anchor(examples) for examples in counted) / max(1, len(counted))


def proxy_anchor_mean(naive: Naive, anchors: Sequence[Sequence[Example]], everyone: int) -> float:
    """Positive side over the proxies with a positive example, negative side over `everyone`."""
    positive = negative = 0.0
    present = 0
    for examples in anchors:
        present += any(y > 0 for _, y in examples)
        positive += naive.sigma_positive(sum(y * naive.rho_positive(s) for s, y in examples))
        negative += naive.sigma_negative(sum((1 - y) * naive.rho_negative(s) for s, y in examples))
    return positive / max(1, present) + negative / everyone
