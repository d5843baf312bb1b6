"""Every loss again, from its equation, in loops over plain lists: what the fast form must equal."""

from __future__ import annotations

import math
from statistics import fmean, pvariance, variance

Vector = list[float]
Set = list[Vector]


def squared(a: Vector, b: Vector) -> float:
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def distance(a: Vector, b: Vector) -> float:
    return math.sqrt(squared(a, b) + 1e-6)


def cosine(a: Vector, b: Vector) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(
        squared(a, [0] * len(a)) * squared(b, [0] * len(b))
    )


def mean_vector(vectors: Set) -> Vector:
    return [fmean(column) for column in zip(*vectors, strict=True)]


def softmax_loss(logits: Vector, truth: int, smoothing: float = 0.0) -> float:
    total = math.log(sum(math.exp(v) for v in logits))
    losses = [total - v for v in logits]
    return (1 - smoothing) * losses[truth] + smoothing * fmean(losses)


def prototypical(
    support: list[Set], query: list[Set], temperature: float = 1.0, smoothing: float = 0.0
) -> float:
    prototypes = [mean_vector(shots) for shots in support]
    return fmean(
        softmax_loss([-squared(q, c) / temperature for c in prototypes], y, smoothing)
        for y, queries in enumerate(query)
        for q in queries
    )


def prototypical_cosine(support: list[Set], query: list[Set], scale: float, smoothing: float = 0.0) -> float:
    prototypes = [mean_vector(shots) for shots in support]
    return fmean(
        softmax_loss([scale * cosine(q, c) for c in prototypes], y, smoothing)
        for y, queries in enumerate(query)
        for q in queries
    )


def matching(support: list[Set], query: list[Set], scale: float) -> float:
    losses = []
    for y, queries in enumerate(query):
        for q in queries:
            attention = [[math.exp(scale * cosine(q, s)) for s in shots] for shots in support]
            losses.append(-math.log(sum(attention[y]) / sum(map(sum, attention))))
    return fmean(losses)


def proto_triplet(support: list[Set], query: list[Set], margin: float) -> float:
    prototypes = [mean_vector(shots) for shots in support]
    losses = []
    for y, queries in enumerate(query):
        for q in queries:
            wrong = [distance(q, c) for n, c in enumerate(prototypes) if n != y]
            losses.append(max(0.0, distance(q, prototypes[y]) - min(wrong, default=math.inf) + margin))
    return fmean(losses)


def nca(points: Set, labels: list[int], temperature: float) -> float:
    losses = []
    for i, a in enumerate(points):
        weights = {j: math.exp(-squared(a, b) / temperature) for j, b in enumerate(points) if j != i}
        friends = [w for j, w in weights.items() if labels[j] == labels[i]]
        losses.append(-math.log(sum(friends) / sum(weights.values())) if friends else 0.0)
    return fmean(losses)


def searched(
    support: list[Set], query: list[Set], variant: str
) -> tuple[Set, list[int], Set | None, list[int]]:
    """Points, labels, targets (None: the points themselves) and their labels."""
    supports = [s for shots in support for s in shots]
    support_labels = [y for y, shots in enumerate(support) for _ in shots]
    queries = [q for some in query for q in some]
    query_labels = [y for y, some in enumerate(query) for _ in some]
    return {
        "full": (supports + queries, support_labels + query_labels, None, support_labels + query_labels),
        "support": (supports, support_labels, None, support_labels),
        "query": (queries, query_labels, supports, support_labels),
        "query_prototypes": (
            queries,
            query_labels,
            [mean_vector(s) for s in support],
            list(range(len(support))),
        ),
    }[variant]


def ranked(
    points: Set, labels: list[int], targets: Set | None, target_labels: list[int]
) -> list[list[tuple[float, bool]]]:
    """For each point its targets, nearest first, then by index: distance, and whether of the same class."""
    among = points if targets is None else targets
    lists = []
    for i, point in enumerate(points):
        order = sorted(
            (distance(point, target), j) for j, target in enumerate(among) if targets is not None or j != i
        )
        lists.append([(d, target_labels[j] == labels[i]) for d, j in order])
    return lists


def icnn_score(
    lists: list[list[tuple[float, bool]]],
    k: int,
    inspected: int | None,
    gamma: bool = True,
    omega: str | None = None,
) -> float:
    """S, from the ranked targets of each point; omega None, "biased" or "unbiased"."""
    k = min(k, len(lists[0]))
    lists = [row[: inspected or len(row)] for row in lists]
    near = [row[:k] for row in lists]
    farthest_enemy = max((d for row in near for d, same in row if not same), default=math.inf)
    friends, enemies, intra, inter = [], [], [], []
    for row, neighbours in zip(lists, near, strict=True):
        nearest_enemy = min((d for d, same in row if not same), default=math.inf)
        reach = max(nearest_enemy + 1e-7, neighbours[-1][0])
        r = [d / reach for d, same in neighbours if same]
        f = [d / (farthest_enemy + 1e-7) for d, same in neighbours if not same]
        intra += [fmean(r)] if r else []
        inter += [fmean(f)] if f else []
        friends += r + [0.0] * (k - len(r))
        enemies += f + [0.0] * (k - len(f))
    lambda_s = 1 - fmean(intra) if intra else 1.0
    lambda_d = fmean(inter) if inter else 1.0
    parts = [(lambda_s + lambda_d) / 2]
    if gamma:
        parts.append(sum(same for row in near for _, same in row) / k / len(near))
    if omega:
        spread = pvariance if omega == "biased" else variance
        parts.append(1 - (spread(friends) + spread(enemies)))
    return fmean(parts)


def icnn_2021_score(
    lists: list[list[tuple[float, bool]]],
    k: int,
    p: float,
    q: float,
    r: float,
    gamma: bool,
    omega: str | None,
) -> float:
    k = min(k, len(lists[0]))
    raw, purity, friends, enemies = [], [], [], []
    for row in lists:
        near = row[:k]
        low, high = near[0][0], near[-1][0]
        theta = [((d - low) / (high - low + 1e-6), same) for d, same in near]
        raw.append(sum(1 - t if same else t for t, same in theta))
        purity.append((sum(same for _, same in theta) / k) ** (1 / r))
        friends += [t if same else 0.0 for t, same in theta]
        enemies += [0.0 if same else t for t, same in theta]
    parts = [fmean((v / (max(raw) + 1e-6)) ** (1 / p) for v in raw)]
    if gamma:
        parts.append(fmean(purity))
    if omega:
        spread = pvariance if omega == "biased" else variance
        parts.append((1 - (spread(friends) + spread(enemies))) ** (1 / q))
    return fmean(parts)
