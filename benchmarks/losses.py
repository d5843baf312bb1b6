"""Times every batch loss against pytorch-metric-learning: forward and backward, one thread, medians.

    python benchmarks/losses.py [--repeats 31] [--only nt_xent triplet]

A batch of 256 embeddings of 512 dimensions, 64 of 100 classes with 4 images each. Ours and the peer's calls
take turns, so that both see the same machine; times are processor time, which other jobs of the machine
hardly change. The difference is that of the two values on this batch,
relative to the peer's; it is left out where the definitions differ or negatives are drawn at random. The peer
is no dependency of this project: `pip install pytorch-metric-learning` adds its columns.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import importlib.metadata
import math
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fewshot import losses
from fewshot.losses.distances import unit
from fewshot.randomness import generator
from fewshot.training.device import set_up

IMAGES, DIM, CLASSES, PER_CLASS = 256, 512, 100, 4
SECONDS_A_ROW = 20.0
"""Rows with a slow peer get fewer repeats than asked for, but at least three."""

Loss = Callable[[Tensor, Tensor], Tensor]


class Row(NamedTuple):
    """A loss of ours and what it is measured against."""

    name: str
    ours: Callable[[], nn.Module]
    peer: Callable[[Any, Any], Loss] | None
    """From the peer's library and our loss, whose weights it copies; None where the peer has no such loss."""
    equal: bool = True
    """Do both compute the same number?"""


class Peer:
    """The library, its parts by name; nothing of it is imported before it is known to be there."""

    def __init__(self) -> None:
        package = "pytorch_metric_learning"
        self.version = importlib.metadata.version("pytorch-metric-learning")
        self.losses = importlib.import_module(f"{package}.losses")
        self.miners = importlib.import_module(f"{package}.miners")
        self.distances = importlib.import_module(f"{package}.distances")


def mined(loss: Any, miner: Any) -> Loss:
    return lambda embeddings, labels: loss(embeddings, labels, miner(embeddings, labels))


def with_weight(loss: Any, name: str, weight: Tensor) -> Loss:
    getattr(loss, name).data = weight.detach().clone()
    return loss  # type: ignore[no-any-return]


ROWS = (
    Row(
        "contrastive, official",
        lambda: losses.Contrastive(official=True),
        lambda p, _: p.losses.ContrastiveLoss(pos_margin=0, neg_margin=0.5),
    ),
    Row(
        "multi_similarity",
        losses.MultiSimilarity,
        lambda p, _: mined(p.losses.MultiSimilarityLoss(18, 75, 0.77), p.miners.MultiSimilarityMiner(0.39)),
    ),
    Row(
        "multi_similarity, no miner",
        lambda: losses.MultiSimilarity(epsilon=None),
        lambda p, _: p.losses.MultiSimilarityLoss(18, 75, 0.77),
    ),
    Row(
        "proxy_anchor",
        lambda: losses.ProxyAnchor(CLASSES, DIM),
        lambda p, o: with_weight(p.losses.ProxyAnchorLoss(CLASSES, DIM), "proxies", o.weight),
    ),
    Row(
        "proxy_nca",
        lambda: losses.ProxyNCA(CLASSES, DIM),
        lambda p, o: with_weight(p.losses.ProxyNCALoss(CLASSES, DIM), "proxies", o.weight),
        equal=False,  # the peer's has the own proxy in the denominator: it is ProxyNCA++
    ),
    Row(
        "proxy_nca_pp",
        lambda: losses.ProxyNCAPlusPlus(CLASSES, DIM, temperature=1 / 9),
        lambda p, o: with_weight(p.losses.ProxyNCALoss(CLASSES, DIM, softmax_scale=9), "proxies", o.weight),
    ),
    Row(
        "nca",
        losses.NCA,
        lambda p, _: p.losses.NCALoss(
            softmax_scale=1 / 0.9, distance=p.distances.LpDistance(normalize_embeddings=False, power=2)
        ),
    ),
    Row(
        "lifted_structure_hermans",
        losses.LiftedStructureHermans,
        lambda p, _: p.losses.GeneralizedLiftedStructureLoss(neg_margin=1, pos_margin=0),
    ),
    Row("binomial_deviance", losses.BinomialDeviance, None),
    Row(
        "n_pair",
        losses.NPair,
        lambda p, _: p.losses.NPairsLoss(
            distance=p.distances.DotProductSimilarity(normalize_embeddings=False)
        ),
    ),
    Row("info_nce", losses.InfoNCE, None),
    Row(
        "soft_triple, no penalty",
        lambda: losses.SoftTriple(CLASSES, DIM, tau=0.0),
        lambda p, o: with_weight(p.losses.SoftTripleLoss(CLASSES, DIM), "fc", o.weight.T),
    ),
    Row(
        "normalized_softmax",
        lambda: losses.NormalizedSoftmax(CLASSES, DIM),
        lambda p, o: with_weight(p.losses.NormalizedSoftmaxLoss(CLASSES, DIM), "W", o.weight.T),
    ),
    Row("supcon", losses.SupCon, lambda p, _: p.losses.SupConLoss(0.1)),
    Row("nt_xent", losses.NTXent, lambda p, _: p.losses.NTXentLoss(0.07)),
    Row("lifted_structure", losses.LiftedStructure, lambda p, _: p.losses.LiftedStructureLoss(1, 0)),
    Row("triplet, all", losses.Triplet, lambda p, _: p.losses.TripletMarginLoss(0.2)),
    Row(
        "triplet, hard",
        lambda: losses.Triplet(mining="hard"),
        lambda p, _: mined(p.losses.TripletMarginLoss(0.2), p.miners.BatchHardMiner()),
    ),
    Row(
        "triplet, semihard",
        lambda: losses.Triplet(mining="semihard"),
        lambda p, _: mined(p.losses.TripletMarginLoss(0.2), p.miners.TripletMarginMiner(0.2, "semihard")),
    ),
    Row(
        "margin",
        lambda: losses.Margin(CLASSES),
        lambda p, _: mined(
            p.losses.MarginLoss(0.2, beta=1.2, learn_beta=True, num_classes=CLASSES),
            p.miners.DistanceWeightedMiner(),
        ),
        equal=False,  # random negatives
    ),
    Row(
        "arcface",
        lambda: losses.ArcFace(CLASSES, DIM),
        lambda p, o: with_weight(
            p.losses.ArcFaceLoss(CLASSES, DIM, margin=math.degrees(0.5)), "W", o.weight.T
        ),
    ),
    Row(
        "cosface",
        lambda: losses.CosFace(CLASSES, DIM),
        lambda p, o: with_weight(p.losses.CosFaceLoss(CLASSES, DIM), "W", o.weight.T),
    ),
    Row("circle", losses.Circle, lambda p, _: p.losses.CircleLoss()),
)


def batch() -> tuple[Tensor, Tensor]:
    """Unit vectors that scatter about the mean of their class, as in the middle of a training."""
    draw = generator(0, "benchmark of losses", 0)
    labels = torch.arange(IMAGES // PER_CLASS).repeat_interleave(PER_CLASS)
    means = torch.randn(IMAGES // PER_CLASS, DIM, generator=draw)
    return unit(0.6 * means[labels] + torch.randn(IMAGES, DIM, generator=draw)), labels


def run(loss: Loss, embeddings: Tensor, labels: Tensor) -> tuple[float, float]:
    """Milliseconds of processor time of forward and backward, and the value."""
    embeddings = embeddings.clone().requires_grad_()
    begin = time.process_time()
    value = loss(embeddings, labels)
    value.backward()  # type: ignore[no-untyped-call]
    return 1e3 * (time.process_time() - begin), value.item()


def measure(row: Row, peer: Peer | None, repeats: int) -> str:
    embeddings, labels = batch()
    ours = row.ours()
    against = None if peer is None or row.peer is None else row.peer(peer, ours)
    contestants: list[Loss] = [ours] if against is None else [ours, against]
    warm = [[run(loss, embeddings, labels) for loss in contestants] for _ in range(2)][-1]
    affordable = int(1e3 * SECONDS_A_ROW / sum(milliseconds for milliseconds, _ in warm))
    rounds = [
        [run(loss, embeddings, labels)[0] for loss in contestants]
        for _ in range(max(3, min(repeats, affordable)))
    ]
    times = [statistics.median(column) for column in zip(*rounds, strict=True)]
    line = f"{row.name:28}{times[0]:10.2f}"
    if against is None:
        return line + (f"{'none':>12}" if peer else "")
    difference = f"{abs(warm[0][1] - warm[1][1]) / abs(warm[1][1]):12.0e}" if row.equal else f"{'-':>12}"
    return f"{line}{times[1]:12.2f}{times[1] / times[0]:9.1f}{difference}{len(rounds):9}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=31)
    parser.add_argument("--only", nargs="+", default=[""], metavar="NAME", help="rows whose name begins so")
    parser.add_argument("--quick", action="store_true", help="three rounds of two losses: does it run?")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.repeats, arguments.only = 3, ["n_pair", "normalized_softmax"]
    machine = set_up("cpu", "float32", 1)
    try:
        peer = Peer()
        print(f"pytorch-metric-learning {peer.version}", end=", ")
    except ImportError:
        peer = None
        print("no pytorch-metric-learning to compare with (pip install pytorch-metric-learning)", end=", ")
    print(f"torch {torch.__version__}, {machine.describe()['device']}, 1 thread, {datetime.date.today()}")
    print(f"{IMAGES} embeddings of {DIM} dimensions, {PER_CLASS} a class; forward + backward, median ms\n")
    print(
        f"{'loss':28}{'ours':>10}"
        + (f"{'peer':>12}{'ratio':>9}{'difference':>12}{'rounds':>9}" if peer else "")
    )
    for row in ROWS:
        if row.name.startswith(tuple(arguments.only)):
            print(measure(row, peer, arguments.repeats), flush=True)


if __name__ == "__main__":
    main()
