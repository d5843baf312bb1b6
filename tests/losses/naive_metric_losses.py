"""The losses on pairs and triplets again, from their equations, in loops over plain lists.

Those on pairs take what a pair loss takes, as lists: anchors, labels, others, other_labels and, for each
anchor, the row of the others that it is, or None.
"""

from __future__ import annotations

import math
from statistics import fmean
from typing import NamedTuple

from naive_losses import Set, Vector, cosine, squared


class Given(NamedTuple):
    anchors: Set
    labels: list[int]
    others: Set
    other_labels: list[int]
    itself: list[int | None]

    def positives(self, i: int) -> list[int]:
        same = [j for j, y in enumerate(self.other_labels) if y == self.labels[i]]
        return [j for j in same if j != self.itself[i]]

    def negatives(self, i: int) -> list[int]:
        return [j for j, y in enumerate(self.other_labels) if y >= 0 and y != self.labels[i]]

    def s(self, i: int, j: int) -> float:
        return cosine(self.anchors[i], self.others[j])

    def d(self, i: int, j: int) -> float:
        return math.sqrt(squared(unit(self.anchors[i]), unit(self.others[j])) + 1e-6)


def unit(vector: Vector) -> Vector:
    length = math.sqrt(sum(x * x for x in vector))
    return [x / length for x in vector]


def mean(values: list[float]) -> float:
    return fmean(values) if values else 0.0


def supcon(given: Given, temperature: float, reduction: str) -> float:
    losses = []
    for i in range(len(given.anchors)):
        positives = given.positives(i)
        if not positives:
            losses += [0.0] * (reduction == "anchors")
            continue
        total = sum(math.exp(given.s(i, a) / temperature) for a in positives + given.negatives(i))
        losses.append(fmean(-math.log(math.exp(given.s(i, p) / temperature) / total) for p in positives))
    return mean(losses)


def nt_xent(given: Given, temperature: float) -> float:
    losses = []
    for i in range(len(given.anchors)):
        rest = sum(math.exp(given.s(i, n) / temperature) for n in given.negatives(i))
        for p in given.positives(i):
            losses.append(math.log1p(rest / math.exp(given.s(i, p) / temperature)))
    return mean(losses)


def lifted_structure(given: Given, m: float, positive_margin: float) -> float:
    losses = []
    for i in range(len(given.anchors)):
        for j in given.positives(i):
            near_i = sum(math.exp(m - given.d(i, k)) for k in given.negatives(i))
            near_j = sum(
                math.exp(m - given.d(k, j))
                for k in range(len(given.anchors))
                if given.labels[k] != given.other_labels[j]
            )
            if near_i + near_j == 0:
                losses.append(0.0)
                continue
            losses.append(max(0.0, math.log(near_i + near_j) + given.d(i, j) - positive_margin) ** 2)
    return mean(losses) / 2


def circle(given: Given, m: float, gamma: float, fixed: Given | None = None) -> float:
    """`fixed`: where the weights alpha are taken from, if not from the embeddings themselves."""
    held = fixed or given
    losses = []
    for i in range(len(given.anchors)):
        positives, negatives = given.positives(i), given.negatives(i)
        if positives and negatives:
            a = sum(
                math.exp(-gamma * max(0.0, 1 + m - held.s(i, p)) * (given.s(i, p) - (1 - m)))
                for p in positives
            )
            b = sum(math.exp(gamma * max(0.0, held.s(i, n) + m) * (given.s(i, n) - m)) for n in negatives)
            losses.append(math.log1p(a * b))
    return mean(losses)


def triplet(given: Given, margin: float, mining: str, reduction: str) -> float:
    hinges = []
    for i in range(len(given.anchors)):
        positives = [given.d(i, p) for p in given.positives(i)]
        negatives = [given.d(i, n) for n in given.negatives(i)]
        if mining == "hard":
            positives, negatives = sorted(positives)[-1:], sorted(negatives)[:1]
        for p in positives:
            for n in negatives:
                if mining != "semihard" or p < n < p + margin:
                    hinges.append(max(0.0, p - n + margin))
    return mean([h for h in hinges if h > 0] if reduction == "nonzero" else hinges)


def margin(given: Given, drawn: list[list[int]], beta: list[float], alpha: float) -> float:
    """`drawn[i][p]` is the negative of the pair (i, p); `beta` has one number for each class."""
    total, hinges = 0.0, 0
    for i, y in enumerate(given.labels):
        if given.negatives(i):
            for p in given.positives(i):
                for hinge in (alpha + given.d(i, p) - beta[y], alpha + beta[y] - given.d(i, drawn[i][p])):
                    total += max(0.0, hinge)
                    hinges += hinge > 0
    return total / hinges if hinges else 0.0


def distance_weights(
    distances: Vector, negatives: list[int], dim: int, cutoff: float, farthest: float
) -> Vector:
    """The probability of each column of one row."""
    near = [j for j in negatives if distances[j] < farthest]

    def density(d: float) -> float:
        return float(d ** (dim - 2) * (1 - d * d / 4) ** ((dim - 3) / 2))

    weights = {j: 1 / density(max(distances[j], cutoff)) for j in near} or dict.fromkeys(negatives, 1.0)
    return [weights.get(j, 0.0) / sum(weights.values()) for j in range(len(distances))]


def arcface(points: Set, labels: list[int], weight: Set, m: float, scale: float) -> float:
    losses = []
    for z, y in zip(points, labels, strict=True):
        cosines = [cosine(z, w) for w in weight]
        angle = math.acos(cosines[y])
        cosines[y] = math.cos(angle + m) if angle < math.pi - m else cosines[y] - m * math.sin(m)
        losses.append(cross_entropy(cosines, y, scale))
    return fmean(losses)


def cosface(points: Set, labels: list[int], weight: Set, m: float, scale: float) -> float:
    losses = []
    for z, y in zip(points, labels, strict=True):
        cosines = [cosine(z, w) - (m if c == y else 0.0) for c, w in enumerate(weight)]
        losses.append(cross_entropy(cosines, y, scale))
    return fmean(losses)


def cross_entropy(scores: Vector, truth: int, scale: float) -> float:
    return math.log(sum(math.exp(scale * (s - scores[truth])) for s in scores))
