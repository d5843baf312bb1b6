"""Losses of the generic form against loops over anchors and examples, and what must hold for all of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import naive_generic as naive
import pytest
import torch
from naive_generic import Example, Naive
from torch import Tensor, nn

from fewshot.errors import InputError
from fewshot.losses import (
    NCA,
    BinomialDeviance,
    Contrastive,
    CrossBatchMemory,
    InfoNCE,
    LiftedStructureHermans,
    MultiSimilarity,
    NormalizedSoftmax,
    NPair,
    ProxyAnchor,
    ProxyNCA,
    ProxyNCAPlusPlus,
    SoftTriple,
)
from fewshot.losses.generic import log_sum, softplus
from fewshot.losses.similarity import Similarity, mixed_similarities, similarities
from fewshot.randomness import generator

CLASSES, DIM = 6, 5
LABELS = {
    "balanced": [0, 1, 2, 3] * 3,
    "lonely": [0, 0, 1, 2, 2, 2, 3, 4, 5, 5],
    "one class": [2] * 6,
    "one image a class": [0, 1, 2, 3, 4, 5],
    "two images": [0, 0],
}

Reduce = Callable[[Naive, list[list[Example]]], float]
PAIRS: dict[str, tuple[nn.Module, Naive, Reduce]] = {
    "contrastive": (Contrastive(), naive.contrastive(), naive.nonzero),
    "contrastive sum": (Contrastive(reduction="sum"), naive.contrastive(), naive.sums),
    "contrastive mean": (Contrastive(margin=0.1, reduction="mean"), naive.contrastive(0.1), naive.means),
    "contrastive official": (Contrastive(official=True), naive.official_contrastive(), naive.nonzero),
    "multi_similarity": (MultiSimilarity(epsilon=None), naive.multi_similarity(), naive.sums),
    "multi_similarity soft": (
        MultiSimilarity(2.0, 5.0, 0.5, None),
        naive.multi_similarity(2.0, 5.0, 0.5),
        naive.sums,
    ),
    "binomial_deviance": (BinomialDeviance(), naive.binomial_deviance(), naive.means),
    "binomial_deviance sum": (
        BinomialDeviance(3.0, 4.0, 0.2, "sum"),
        naive.binomial_deviance(3.0, 4.0, 0.2),
        naive.sums,
    ),
    "lifted": (LiftedStructureHermans(), naive.lifted(), naive.sums),
    "lifted cosine": (LiftedStructureHermans(-0.5, "cosine"), naive.lifted(-0.5, "cosine"), naive.sums),
    "nca": (NCA(), naive.softmax("squared_euclidean", 0.9), naive.sums),
    "nca cosine": (NCA(0.2, "cosine"), naive.softmax("cosine", 0.2), naive.sums),
    "nca excluded": (
        NCA(2.0, positive_in_denominator=False),
        naive.softmax("squared_euclidean", 2.0, excluded=True),
        naive.sums,
    ),
}
ONE_POSITIVE: dict[str, tuple[nn.Module, Naive]] = {
    "info_nce": (InfoNCE(), naive.softmax("cosine", 0.1)),
    "info_nce dot": (InfoNCE(0.7, "dot"), naive.softmax("dot", 0.7)),
    "n_pair": (NPair(), naive.softmax("dot", 1.0)),
}
PROXIES: dict[str, tuple[Callable[[], Any], Naive]] = {
    "proxy_nca": (lambda: ProxyNCA(CLASSES, DIM), naive.softmax("cosine", 0.5, excluded=True)),
    "proxy_nca_pp": (lambda: ProxyNCAPlusPlus(CLASSES, DIM, 1 / 9), naive.softmax("cosine", 1 / 18)),
    "normalized_softmax": (lambda: NormalizedSoftmax(CLASSES, DIM), naive.softmax("cosine", 0.05)),
}
EVERY: dict[str, Callable[[], nn.Module]] = {
    **{name: (lambda loss=loss: loss) for name, (loss, _, _) in PAIRS.items()},
    **{name: (lambda loss=loss: loss) for name, (loss, _) in ONE_POSITIVE.items()},
    **{name: make for name, (make, _) in PROXIES.items()},
    "multi_similarity mined": lambda: MultiSimilarity(),
    "soft_triple": lambda: SoftTriple(CLASSES, DIM, per_class=3),
    "proxy_anchor": lambda: ProxyAnchor(CLASSES, DIM),
}

pairs = pytest.mark.parametrize(("loss", "oracle", "reduce"), PAIRS.values(), ids=PAIRS.keys())
every = pytest.mark.parametrize("make", EVERY.values(), ids=EVERY.keys())


def those(fit: Callable[[Any], bool]) -> pytest.MarkDecorator:
    """The losses of which something holds."""
    chosen = {name: make for name, make in EVERY.items() if fit(make())}
    return pytest.mark.parametrize("make", chosen.values(), ids=chosen.keys())


labelled = pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS.keys())


def embeddings(count: int, stream: str = "embeddings") -> Tensor:
    draw = generator(0, f"test {stream}", count)
    return torch.randn(count, DIM, generator=draw, dtype=torch.float64)


def examples(points: list[list[float]], labels: list[int], kind: str) -> list[list[Example]]:
    """Of each anchor, all the others with y."""
    similar = naive.SIMILARITIES[kind]
    return [
        [(similar(a, b), float(labels[i] == labels[j])) for j, b in enumerate(points) if j != i]
        for i, a in enumerate(points)
    ]


# ------------------------------------------------------------------------------- oracles


@labelled
@pairs
def test_pair_losses(loss: nn.Module, oracle: Naive, reduce: Reduce, labels: list[int]) -> None:
    points = embeddings(len(labels))
    wanted = reduce(oracle, examples(points.tolist(), labels, oracle.similarity))
    assert loss(points, torch.tensor(labels)).item() == pytest.approx(wanted, rel=1e-11, abs=1e-14)


@labelled
@pytest.mark.parametrize(("loss", "oracle"), ONE_POSITIVE.values(), ids=ONE_POSITIVE.keys())
def test_losses_with_one_positive(loss: nn.Module, oracle: Naive, labels: list[int]) -> None:
    points = embeddings(len(labels))
    of_class = {label: [i for i, other in enumerate(labels) if other == label] for label in labels}
    similar = naive.SIMILARITIES[oracle.similarity]
    anchors = []
    for i, label in enumerate(labels):
        members = of_class[label]
        if isinstance(loss, NPair):
            if len(members) < 2 or i != members[0]:
                continue
            positive = members[1]
            negatives = [m[1] for k, m in of_class.items() if k != label and len(m) > 1]
        else:
            if len(members) < 2:
                continue
            positive = members[(members.index(i) + 1) % len(members)]
            negatives = [j for j, other in enumerate(labels) if other != label]
        chosen = [(positive, 1.0), *((j, 0.0) for j in negatives)]
        anchors.append([(similar(points[i].tolist(), points[j].tolist()), y) for j, y in chosen])
    wanted = naive.with_positive(oracle, anchors)
    assert loss(points, torch.tensor(labels)).item() == pytest.approx(wanted, rel=1e-11, abs=1e-14)


@labelled
@pytest.mark.parametrize(("make", "oracle"), PROXIES.values(), ids=PROXIES.keys())
def test_proxy_losses(make: Callable[[], Any], oracle: Naive, labels: list[int]) -> None:
    loss, points = make().double(), embeddings(len(labels))
    similar = naive.SIMILARITIES[oracle.similarity]
    anchors = [
        [(similar(a, w), float(k == label)) for k, w in enumerate(loss.weight.tolist())]
        for a, label in zip(points.tolist(), labels, strict=True)
    ]
    wanted = naive.sums(oracle, anchors)
    assert loss(points, torch.tensor(labels)).item() == pytest.approx(wanted, rel=1e-11)


@labelled
def test_soft_triple(labels: list[int]) -> None:
    loss, points = SoftTriple(CLASSES, DIM, per_class=3).double(), embeddings(len(labels))
    centres = loss.weight.view(CLASSES, 3, DIM).tolist()
    anchors = []
    for a, label in zip(points.tolist(), labels, strict=True):
        scores = [
            naive.soft_triple_score([naive.SIMILARITIES["cosine"](a, w) for w in of_class])
            for of_class in centres
        ]
        anchors.append([(s, float(k == label)) for k, s in enumerate(scores)])
    apart = sum(
        math.sqrt(max(0.0, 2 - 2 * naive.SIMILARITIES["cosine"](c[i], c[j])) + 1e-5)
        for c in centres
        for i in range(3)
        for j in range(i + 1, 3)
    )
    wanted = naive.sums(naive.soft_triple(), anchors) + 0.2 * apart / (CLASSES * 3 * 2)
    assert loss(points, torch.tensor(labels)).item() == pytest.approx(wanted, rel=1e-11)


@labelled
def test_proxy_anchor(labels: list[int]) -> None:
    loss, points = ProxyAnchor(CLASSES, DIM).double(), embeddings(len(labels))
    similar = naive.SIMILARITIES["cosine"]
    anchors = [
        [(similar(w, x), float(label == k)) for x, label in zip(points.tolist(), labels, strict=True)]
        for k, w in enumerate(loss.weight.tolist())
    ]
    wanted = naive.proxy_anchor_mean(naive.proxy_anchor(), anchors, CLASSES)
    assert loss(points, torch.tensor(labels)).item() == pytest.approx(wanted, rel=1e-11)


@labelled
@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.39])
def test_the_miner_of_multi_similarity(labels: list[int], epsilon: float) -> None:
    points = embeddings(len(labels))
    oracle = naive.multi_similarity()
    kept = []
    for whole in examples(points.tolist(), labels, "cosine"):
        positive = [s for s, y in whole if y == 1]
        negative = [s for s, y in whole if y == 0]
        kept.append(
            [(s, 1.0) for s in positive if negative and s < max(negative) + epsilon]
            + [(s, 0.0) for s in negative if positive and s > min(positive) - epsilon]
        )
    found = MultiSimilarity(epsilon=epsilon)(points, torch.tensor(labels)).item()
    assert found == pytest.approx(naive.sums(oracle, kept), rel=1e-11, abs=1e-14)


@pairs
@pytest.mark.parametrize("known", [True, False], ids=["anchors among the others", "others apart"])
def test_pair_losses_against_others(loss: nn.Module, oracle: Naive, reduce: Reduce, known: bool) -> None:
    labels, other_labels = [0, 1, 1, 3], [1, 0, 3, 1, 2, -1, 1, 0]
    points, others = embeddings(4), embeddings(8, "others")
    self_index = torch.tensor([1, 3, 0, 2])
    if known:
        others[self_index] = points
    similar = naive.SIMILARITIES[oracle.similarity]
    anchors = [
        [
            (similar(points[i].tolist(), others[j].tolist()), float(labels[i] == other_labels[j]))
            for j in range(8)
            if other_labels[j] >= 0 and not (known and j == self_index[i])
        ]
        for i in range(4)
    ]
    found = loss(
        points, torch.tensor(labels), others, torch.tensor(other_labels), self_index if known else None
    )
    assert found.item() == pytest.approx(reduce(oracle, anchors), rel=1e-11, abs=1e-14)


# ------------------------------------------------------------------- similarities and sums


@pytest.mark.parametrize("kind", ["cosine", "dot", "euclidean", "squared_euclidean"])
@pytest.mark.parametrize("lam", [0.0, 0.3, 1.0])
def test_mixed_similarities_are_those_of_mixed_vectors(kind: Similarity, lam: float) -> None:
    anchors, first, second = embeddings(7), embeddings(6, "first"), embeddings(6, "second")
    mixed = [naive.mix(a, b, lam, kind) for a, b in zip(first.tolist(), second.tolist(), strict=True)]
    wanted = [[naive.SIMILARITIES[kind](a, v) for v in mixed] for a in anchors.tolist()]
    found = mixed_similarities(
        similarities(anchors, first, kind),
        similarities(anchors, second, kind),
        similarities(first, second, kind).diagonal(),
        lam,
        kind,
    )
    assert found == pytest.approx(torch.tensor(wanted, dtype=torch.float64), rel=1e-9, abs=1e-12)


def test_a_mixture_that_cancels_is_finite() -> None:
    point = torch.tensor([[1.0, 0.0]], requires_grad=True)
    similar = similarities(point, point, "cosine")
    mixed = mixed_similarities(similar, -similar, -similar, 0.5, "cosine")
    mixed.sum().backward()
    assert mixed.item() == 0
    assert point.grad is not None and point.grad.isfinite().all()


def test_log_sum() -> None:
    logits = torch.tensor([[1.0, 2.0], [3.0, 4.0], [700.0, 800.0]], dtype=torch.float64)
    logits.requires_grad_()
    weights = torch.tensor([[0.5, 2.0], [0.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    total = log_sum(logits, weights)
    assert total[0].item() == pytest.approx(math.log(0.5 * math.e + 2 * math.e**2), rel=1e-14)
    assert total[1] == -torch.inf
    assert total[2] == 800
    assert torch.equal(log_sum(logits, weights > 0)[1:], total[1:])
    total.masked_fill(total == -torch.inf, 0).sum().backward()
    assert logits.grad is not None and not logits.grad.isnan().any() and not logits.grad[1].any()


def test_softplus_keeps_what_torch_drops() -> None:
    value = torch.tensor(21.0, dtype=torch.float64)
    assert softplus(value).item() == pytest.approx(21 + math.exp(-21), rel=1e-16, abs=0)


# ----------------------------------------------------------------------------- invariances


@every
def test_gradcheck(make: Callable[[], nn.Module]) -> None:
    loss = make().double()
    labels = torch.tensor(LABELS["lonely"])
    assert torch.autograd.gradcheck(lambda z: loss(z, labels), embeddings(10).requires_grad_())
    for parameter in loss.parameters():

        def of_proxies(weight: Tensor, loss: nn.Module = loss) -> Tensor:
            return torch.func.functional_call(loss, {"weight": weight}, (embeddings(10), labels))

        assert torch.autograd.gradcheck(of_proxies, parameter.detach().clone().requires_grad_())


@those(lambda loss: not isinstance(loss, InfoNCE | NPair))  # whose pairs are made by the order
def test_the_order_of_images_does_not_matter(make: Callable[[], nn.Module]) -> None:
    loss = make().double()
    labels = torch.tensor(LABELS["lonely"])
    order = torch.randperm(10, generator=generator(0, "test order", 0))
    whole, shuffled = loss(embeddings(10), labels), loss(embeddings(10)[order], labels[order])
    assert whole.item() == pytest.approx(shuffled.item(), rel=1e-12)


@those(lambda loss: not list(loss.parameters()))  # proxies belong to a class
def test_the_names_of_classes_do_not_matter(make: Callable[[], nn.Module]) -> None:
    loss = make().double()
    labels = torch.tensor(LABELS["lonely"])
    renamed = torch.tensor([7, 3, 11, 0, 5, 2])[labels]
    assert torch.equal(loss(embeddings(10), labels), loss(embeddings(10), renamed))


@those(lambda loss: loss.similarity == "cosine")
def test_losses_on_cosines_do_not_see_lengths(make: Callable[[], nn.Module]) -> None:
    loss = make().double()
    labels = torch.tensor(LABELS["lonely"])
    scaled = embeddings(10) * torch.linspace(0.5, 3, 10, dtype=torch.float64)[:, None]
    assert loss(embeddings(10), labels).item() == pytest.approx(loss(scaled, labels).item(), rel=1e-12)


# ----------------------------------------------------------------------------- degenerate

EMBEDDINGS: dict[str, Callable[[int], Tensor]] = {
    "random": lambda n: embeddings(n).float(),
    "all equal": lambda n: torch.ones(n, DIM),
    "all zero": lambda n: torch.zeros(n, DIM),
    "duplicates": lambda n: embeddings(n).float()[torch.arange(n) // 2],
    "huge": lambda n: 1e4 * embeddings(n).float(),
}


@every
@pytest.mark.parametrize("kind", EMBEDDINGS)
def test_degenerate_batches_have_finite_gradients(make: Callable[[], nn.Module], kind: str) -> None:
    loss = make()
    for labels in LABELS.values():
        for dtype in (torch.float32, torch.bfloat16, torch.float16):
            if kind == "all zero" and dtype == torch.float16:
                continue  # beside 0 a cosine is 1e4 times as steep as on the sphere: no number of float16
            images = EMBEDDINGS[kind](len(labels)).to(dtype).requires_grad_()
            value = loss(images, torch.tensor(labels))
            value.backward()
            assert value.isfinite() and value.dtype == torch.float32
            assert images.grad is not None and images.grad.isfinite().all()
            assert all(p.grad is None or p.grad.isfinite().all() for p in loss.parameters())


def needs_both(loss: Any) -> bool:
    """Whether an anchor without positives, or without negatives, contributes 0."""
    if list(loss.parameters()):
        return False  # proxies are always there
    mines = isinstance(loss, MultiSimilarity) and loss.epsilon is not None
    return mines or "log" in (loss.form.positive.sigma, loss.form.negative.sigma)


@those(needs_both)
@pytest.mark.parametrize("labels", [LABELS["one class"], LABELS["one image a class"]])
def test_a_side_that_is_empty_is_0(make: Callable[[], nn.Module], labels: list[int]) -> None:
    points = embeddings(6).requires_grad_()
    value = make()(points, torch.tensor(labels))
    value.backward()
    assert value == 0
    assert points.grad is not None and not points.grad.any()


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="expected embeddings"):
        Contrastive()(torch.zeros(3, 2, 2), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"got \[3, 2\] and \[4\]"):
        ProxyAnchor(2, 2)(torch.zeros(3, 2), torch.zeros(4, dtype=torch.int64))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Contrastive(margin=math.nan), "margin=nan of the loss must be a finite number"),
        (lambda: MultiSimilarity(beta=0), "beta=0 of the loss"),
        (lambda: ProxyAnchor(3, 4, lr_scale=-1), "lr_scale=-1 of the loss"),
        (lambda: SoftTriple(3, 4, per_class=0), "per_class=0 of the loss"),
        (lambda: NCA(temperature=math.inf), "temperature=inf of the loss"),
    ],
)
def test_senseless_numbers_are_refused(make: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


# --------------------------------------------------------------------------------- memory


def test_the_memory_adds_the_loss_against_earlier_embeddings() -> None:
    loss = Contrastive()
    memory = CrossBatchMemory(loss, DIM, size=7, weight=0.5).double()
    seen: list[tuple[Tensor, Tensor]] = []
    for step in range(4):
        points, labels = embeddings(3, f"step {step}"), torch.tensor([0, 1, step % 2])
        found = memory(points, labels)
        wanted = loss(points, labels)
        if seen:
            others, other_labels = (torch.cat(column)[-7:] for column in zip(*seen, strict=True))
            wanted = wanted + 0.5 * loss(points, labels, others, other_labels)
        assert found.item() == pytest.approx(wanted.item(), rel=1e-12)
        seen.append((points, labels))


def test_the_memory_is_state_and_rests_in_evaluation() -> None:
    memory, again = (CrossBatchMemory(Contrastive(), DIM, size=4).double() for _ in range(2))
    points, labels = embeddings(3), torch.tensor([0, 1, 1])
    memory(points, labels)
    again.load_state_dict(memory.state_dict())
    assert torch.equal(memory(points, labels), again(points, labels))
    memory.eval()
    assert torch.equal(memory(points, labels), memory(points, labels))


def test_a_batch_larger_than_the_memory_leaves_its_end() -> None:
    memory = CrossBatchMemory(Contrastive(), DIM, size=2).double()
    points = embeddings(5)
    memory(points, torch.arange(5))
    assert sorted(memory.labels.tolist()) == [3, 4]
    assert torch.equal(memory.features[memory.labels.argsort()], points[3:])


def test_the_memory_refuses_losses_that_take_no_others() -> None:
    with pytest.raises(InputError, match="memory=cross_batch is for losses on pairs of images"):
        CrossBatchMemory(ProxyAnchor(3, DIM), DIM)
    with pytest.raises(InputError, match="NPair is none"):
        CrossBatchMemory(NPair(), DIM)
