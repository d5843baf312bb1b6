"""Distillation from its equations, in loops over plain lists."""

from __future__ import annotations

import itertools
import math
from statistics import fmean

from naive_losses import cosine
from torch import Tensor


def naive_softmax(values: list[float]) -> list[float]:
    total = sum(math.exp(v) for v in values)
    return [math.exp(v) / total for v in values]


def naive_kl(p: list[float], q: list[float]) -> float:
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def naive_similarity(prototype: list[float], feature: list[float], kind: str) -> float:
    if kind == "cosine":
        return cosine(prototype, feature)
    length = math.sqrt(sum(x * x for x in prototype))
    return sum(p * z for p, z in zip(prototype, feature, strict=True)) / length


def naive_relation(given: list[Tensor], tasks: Tensor, temperature: float, form: tuple[str, ...]) -> float:
    axis, direction, similarity, reduction = form
    z, p, old_z, old_p = (tensor.tolist() for tensor in given)

    def spread(prototypes: list[int], samples: list[int], old: bool) -> list[float]:
        features, points = (old_z, old_p) if old else (z, p)
        pairs = itertools.product(prototypes, samples)
        return naive_softmax(
            [naive_similarity(points[k], features[i], similarity) / temperature for k, i in pairs]
        )

    def divergence(prototypes: list[int], samples: list[int]) -> float:
        now, before = spread(prototypes, samples, False), spread(prototypes, samples, True)
        return naive_kl(now, before) if direction == "current_snapshot" else naive_kl(before, now)

    everyone = list(range(len(z)))
    if axis == "samples":
        each = [divergence([k], everyone) for k, task in enumerate(tasks.tolist()) if task >= 0]
    else:
        names = sorted({task for task in tasks.tolist() if task >= 0})
        members = [[k for k, task in enumerate(tasks.tolist()) if task == name] for name in names]
        each = [fmean(divergence(classes, [i]) for i in everyone) for classes in members]
    return sum(each) if reduction == "sum" else fmean(each)
