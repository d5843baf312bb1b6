"""The loss of mixed examples against loops that make every mixed vector, and the limits of the paper."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import naive_generic as naive
import pytest
import torch
from naive_generic import Example, Naive
from torch import Tensor

from fewshot.losses import (
    NCA,
    BinomialDeviance,
    Contrastive,
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
from fewshot.losses.pair_loss import PairLoss, Relation, relation_by_label
from fewshot.losses.similarity import Similarity, similarities
from fewshot.mixup.examples import MixedEmbeddings, MixedExamples, MixedVectors
from fewshot.mixup.metrix import PairKind
from fewshot.mixup.mixed_loss import candidates, loss_of_anchors, loss_of_mixed_anchors, loss_of_mixed_others
from fewshot.mixup.partners import Partners, all_partners, hardest_partners
from fewshot.objectives.mixed import proxies_of_the_batch
from fewshot.randomness import generator

DIM, CLASSES = 4, 5
LABELS = {
    "balanced": [0, 1, 2, 3] * 3,
    "lonely": [0, 0, 1, 2, 2, 2, 3, 4, 4],
    "one class": [2] * 4,
    "one image a class": [0, 1, 2, 3],
}
Reduce = Callable[[Naive, list[list[Example]]], float]
LOSSES: dict[str, tuple[PairLoss, Naive, Reduce]] = {
    "contrastive": (Contrastive(), naive.contrastive(), naive.nonzero),
    "contrastive sum": (Contrastive(reduction="sum"), naive.contrastive(), naive.sums),
    "contrastive official": (Contrastive(official=True), naive.official_contrastive(), naive.nonzero),
    "multi_similarity": (MultiSimilarity(), naive.multi_similarity(), naive.sums),
    "binomial_deviance": (BinomialDeviance(), naive.binomial_deviance(), naive.means),
    "lifted": (LiftedStructureHermans(), naive.lifted(), naive.sums),
    "nca": (NCA(), naive.softmax("squared_euclidean", 0.9), naive.sums),
    "nca excluded": (
        NCA(0.3, "cosine", positive_in_denominator=False),
        naive.softmax("cosine", 0.3, excluded=True),
        naive.sums,
    ),
    "info_nce": (InfoNCE(), naive.softmax("cosine", 0.1), naive.with_positive),
    "n_pair": (NPair(), naive.softmax("dot", 1.0), naive.with_positive),
}
PAIRS: tuple[PairKind, ...] = (
    "positive_negative",
    "anchor_negative",
    "positive_positive",
    "negative_negative",
)
FORMS = ("closed", "vectors")

losses = pytest.mark.parametrize(("loss", "oracle", "reduce"), LOSSES.values(), ids=LOSSES.keys())
labelled = pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS.keys())


def embeddings(count: int, stream: str = "mixed") -> Tensor:
    return torch.randn(count, DIM, generator=generator(0, f"test {stream}", count), dtype=torch.float64)


def draw_lam(each_pair: bool, shape: tuple[int, int]) -> Tensor | float:
    if not each_pair:
        return 0.3
    return torch.rand(shape, generator=generator(0, "test lam", 0), dtype=torch.float64)


def mixed_examples(
    points: Tensor,
    partners: Partners,
    kind: Similarity,
    lam: Tensor | float,
    form: str,
    anchors: Tensor | None = None,
) -> MixedExamples:
    """The same examples by similarities, or as vectors."""
    anchors = points if anchors is None else anchors
    if form == "closed":
        among = similarities(points, points, kind)
        return MixedEmbeddings(similarities(anchors, points, kind), among, kind, partners, lam)

    def vectors(rows: slice) -> Tensor:
        whole = torch.nn.functional.normalize(points, dim=1) if kind == "cosine" else points
        others = whole[None] if partners.index is None else whole[partners.index[rows]]
        factor = lam[rows][..., None] if isinstance(lam, Tensor) else lam
        return factor * whole[rows][:, None] + (1 - factor) * others

    return MixedVectors(anchors, vectors, kind, partners, lam, partners.count * DIM)


def leads_of(pairs: PairKind, relation: Relation) -> Tensor:
    if pairs == "anchor_negative":
        return torch.eye(len(relation.positive), dtype=torch.bool)
    return relation.negative if pairs == "negative_negative" else relation.positive


def partner_list(partners: Partners, lead: int) -> list[tuple[int, int]]:
    """(place, partner) of the mixed examples that a lead has."""
    index = range(partners.count) if partners.index is None else partners.index[lead].tolist()
    return [(k, q) for k, q in enumerate(index) if partners.allowed[lead, k]]


def naive_anchors(
    points: list[list[float]],
    relation: Relation,
    partners: Partners,
    pairs: PairKind,
    lam: Tensor | float,
    kind: str,
    anchors: list[list[float]] | None = None,
) -> list[list[Example]]:
    """V(a) of every anchor, each mixed vector made and compared."""
    found = []
    for a, anchor in enumerate(anchors or points):
        examples = []
        for lead in range(len(points)):
            if not leads_of(pairs, relation)[a, lead]:
                continue
            for place, q in partner_list(partners, lead):
                of_anchor = relation.positive if pairs == "positive_positive" else relation.negative
                if not of_anchor[a, q]:
                    continue
                share = float(lam[lead, place]) if isinstance(lam, Tensor) else lam
                v = naive.mix(points[lead], points[q], share, kind)
                y = {"positive_positive": 1.0, "negative_negative": 0.0}.get(pairs, share)
                examples.append((naive.SIMILARITIES[kind](anchor, v), y))
        found.append(examples)
    return found


def of_pairs(
    loss: PairLoss, points: Tensor, labels: Tensor, pairs: PairKind, **options: Any
) -> tuple[Tensor, Relation, Partners, Tensor | float]:
    """The mixed loss of a batch, and what it was made of."""
    relation = loss.relation(labels, labels, torch.arange(len(labels)))
    candidate = candidates(pairs, labels)
    count = options.get("hardest")
    similar = similarities(points, points, loss.similarity)
    partners = all_partners(candidate) if count is None else hardest_partners(similar, candidate, count)
    lam = options.get("lam", draw_lam(options.get("each_pair", False), (len(labels), partners.count)))
    mixed = mixed_examples(points, partners, loss.similarity, lam, options.get("form", "closed"))
    n = len(labels)
    value = loss_of_anchors(
        loss.form, mixed, relation, leads_of(pairs, relation), pairs, (n, n), block=options.get("block")
    )
    return value, relation, partners, lam


def applies(loss: PairLoss, pairs: PairKind) -> bool:
    """Negative-negative pairs and a logarithm of positives do not go together."""
    return pairs != "negative_negative" or loss.form.positive.sigma != "log"


# ------------------------------------------------------------------------------- oracles


@labelled
@losses
@pytest.mark.parametrize("pairs", PAIRS)
def test_every_mixed_vector(
    loss: PairLoss, oracle: Naive, reduce: Reduce, pairs: PairKind, labels: list[int]
) -> None:
    if not applies(loss, pairs):
        return
    points = embeddings(len(labels))
    for form in FORMS:
        for each_pair in (False, True):
            for hardest in (None, 2):
                value, relation, partners, lam = of_pairs(
                    loss,
                    points,
                    torch.tensor(labels),
                    pairs,
                    form=form,
                    each_pair=each_pair,
                    hardest=hardest,
                )
                anchors = naive_anchors(points.tolist(), relation, partners, pairs, lam, loss.similarity)
                wanted = reduce(oracle, anchors)
                assert value.item() == pytest.approx(wanted, rel=1e-9, abs=1e-13), (form, each_pair, hardest)


@labelled
@pytest.mark.parametrize("pairs", PAIRS[::2] + PAIRS[3:])
@pytest.mark.parametrize("form", FORMS)
def test_proxy_anchor(pairs: PairKind, form: str, labels: list[int]) -> None:
    points, loss = embeddings(len(labels)), ProxyAnchor(CLASSES, DIM).double()
    of_class = relation_by_label(torch.arange(CLASSES), torch.tensor(labels), None)
    relation = proxies_of_the_batch(torch.tensor(labels))
    partners = all_partners(candidates(pairs, torch.tensor(labels)))
    anchors = loss.weight[torch.tensor(labels)]
    mixed = mixed_examples(points, partners, "cosine", 0.3, form, anchors)
    present = torch.tensor(len(set(labels)))
    n = len(labels)
    value = loss_of_anchors(
        loss.form, mixed, relation, leads_of(pairs, relation), pairs, (n, n), anchors=present
    )
    there = [k for k in range(CLASSES) if k in labels]
    of_class = Relation(of_class.positive[there], of_class.negative[there])
    lists = naive_anchors(
        points.tolist(), of_class, partners, pairs, 0.3, "cosine", [loss.weight[k].tolist() for k in there]
    )
    wanted = naive.proxy_anchor_mean(naive.proxy_anchor(), lists, len(there))
    assert value.item() == pytest.approx(wanted, rel=1e-9)


PROXIES: dict[str, tuple[Callable[[], Any], Naive]] = {
    "proxy_nca": (lambda: ProxyNCA(CLASSES, DIM), naive.softmax("cosine", 0.5, excluded=True)),
    "proxy_nca_pp": (lambda: ProxyNCAPlusPlus(CLASSES, DIM, 1 / 9), naive.softmax("cosine", 1 / 18)),
    "normalized_softmax": (lambda: NormalizedSoftmax(CLASSES, DIM), naive.softmax("cosine", 0.05)),
    "soft_triple": (lambda: SoftTriple(CLASSES, DIM, per_class=3), naive.soft_triple()),
}


@labelled
@pytest.mark.parametrize(("make", "oracle"), PROXIES.values(), ids=PROXIES.keys())
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("pairs", PAIRS[1:3])
def test_mixed_examples_as_anchors(
    make: Callable[[], Any], oracle: Naive, form: str, pairs: PairKind, labels: list[int]
) -> None:
    loss, points = make().double(), embeddings(len(labels))
    candidate = candidates(pairs, torch.tensor(labels))
    for hardest in (None, 2):
        similar = similarities(points, points, "cosine")
        partners = all_partners(candidate) if hardest is None else hardest_partners(similar, candidate, 2)
        for lam in (0.3, draw_lam(True, (len(labels), partners.count))):
            mixed = mixed_examples(points, partners, "cosine", lam, form, loss.weight)
            value = loss_of_mixed_anchors(loss.form, mixed, torch.tensor(labels), CLASSES, loss.class_scores)
            anchors = []
            for lead in range(len(labels)):
                for place, q in partner_list(partners, lead):
                    share = float(lam[lead, place]) if isinstance(lam, Tensor) else lam
                    v = naive.mix(points[lead].tolist(), points[q].tolist(), share, "cosine")
                    similar_to = [naive.SIMILARITIES["cosine"](v, w) for w in loss.weight.tolist()]
                    if isinstance(loss, SoftTriple):
                        similar_to = [
                            naive.soft_triple_score(similar_to[3 * k : 3 * k + 3]) for k in range(CLASSES)
                        ]
                    weight = [share * (k == labels[lead]) for k in range(CLASSES)]
                    weight[labels[q]] += 1 - share
                    anchors.append(list(zip(similar_to, weight, strict=True)))
            wanted = naive.sums(oracle, anchors) if anchors else 0.0
            assert value.item() == pytest.approx(wanted, rel=1e-9), (hardest, lam)


# ----------------------------------------------------------------------- how it is computed


@losses
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("block", [1, 60])
def test_blocks_change_nothing(loss: PairLoss, oracle: Naive, reduce: Reduce, form: str, block: int) -> None:
    labels = torch.tensor(LABELS["lonely"])
    gradients, values = [], []
    for size in (None, block):
        points = embeddings(len(labels)).requires_grad_()
        value = of_pairs(loss, points, labels, "positive_negative", form=form, block=size)[0]
        value.backward()
        values.append(value.item())
        gradients.append(points.grad)
    assert values[0] == pytest.approx(values[1], rel=1e-12)
    assert gradients[0] is not None and torch.allclose(gradients[0], gradients[1], rtol=1e-9, atol=1e-12)


class Watched:
    """A form that notes the shapes of the similarities it is given."""

    def __init__(self, form: Any) -> None:
        self.form = form
        self.shapes: list[torch.Size] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.form, name)

    def accumulate(self, similarity: Tensor, *weights: Tensor) -> Any:
        self.shapes.append(similarity.shape)
        return self.form.accumulate(similarity, *weights)


def test_no_cubic_tensor_is_made() -> None:
    """With blocks, no tensor holds the scalars of all anchors, positives and negatives."""
    labels = torch.arange(30) // 15
    loss = MultiSimilarity()
    watched = Watched(loss.form)
    loss.form = watched  # type: ignore[assignment]
    points = embeddings(30).requires_grad_()
    of_pairs(loss, points, labels, "positive_negative", block=30 * 30 * 2)[0].backward()
    assert max(shape.numel() for shape in watched.shapes) <= 30 * 30 * 2
    assert len(watched.shapes) >= 30  # fifteen blocks or more, each computed again in the backward pass


@pytest.mark.parametrize("form", FORMS)
def test_a_block_holds_as_many_leads_as_fit(form: str) -> None:
    """A lead takes its mixed examples, and their similarities to anchors; thrice where it is the anchor."""
    labels, points = torch.arange(12) // 3, embeddings(12)
    near = similarities(points, points, "squared_euclidean")
    partners = hardest_partners(near, candidates("positive_negative", labels), 6)
    own = 6 * (DIM if form == "vectors" else 1)
    loss = NCA()
    relation = loss.relation(labels, labels, torch.arange(12))

    def of_anchors(watched: Any, block: int) -> None:
        mixed = mixed_examples(points, partners, loss.similarity, 0.3, form)
        loss_of_anchors(watched, mixed, relation, relation.positive, "positive_negative", (2, 2), block=block)

    def of_mixed_anchors(watched: Any, block: int) -> None:
        mixed = mixed_examples(points, partners, loss.similarity, 0.3, form, anchors=points[:7])
        loss_of_mixed_anchors(watched, mixed, labels, 7, lambda similarity: similarity, block)

    def of_mixed_others(watched: Any, block: int) -> None:
        mixed = mixed_examples(points, partners, loss.similarity, 0.3, form, anchors=points[:7])
        loss_of_mixed_others(watched, mixed, torch.arange(7), block)

    for made, each in ((of_anchors, 2 * 6), (of_mixed_anchors, 3 * 6 * 7), (of_mixed_others, 7 * 6)):
        for leads, block in ((1, 2 * (each + own) - 1), (2, 2 * (each + own)), (3, 3 * (each + own))):
            watched = Watched(loss.form)
            made(watched, block)
            assert [shape[0] for shape in watched.shapes] == [leads] * (12 // leads), made


@losses
@pytest.mark.parametrize("pairs", PAIRS)
@pytest.mark.parametrize("form", FORMS)
def test_gradcheck(loss: PairLoss, oracle: Naive, reduce: Reduce, pairs: PairKind, form: str) -> None:
    if not applies(loss, pairs):
        return
    labels = torch.tensor([0, 0, 1, 2, 2, 2])
    points = embeddings(6).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: of_pairs(loss, z, labels, pairs, form=form)[0], points)


@pytest.mark.parametrize(("make", "oracle"), PROXIES.values(), ids=PROXIES.keys())
@pytest.mark.parametrize("form", FORMS)
def test_gradcheck_of_mixed_anchors(make: Callable[[], Any], oracle: Naive, form: str) -> None:
    loss, labels = make().double(), torch.tensor([0, 0, 1, 2])
    partners = all_partners(candidates("anchor_negative", labels))

    def of(points: Tensor, weight: Tensor) -> Tensor:
        mixed = mixed_examples(points, partners, "cosine", 0.3, form, weight)
        return loss_of_mixed_anchors(loss.form, mixed, labels, CLASSES, loss.class_scores)

    weight = loss.weight.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(of, (embeddings(4).requires_grad_(), weight))


# --------------------------------------------------------------------------- limits of the paper


@losses
def test_labels_of_0_and_1_give_the_clean_loss(loss: PairLoss, oracle: Naive, reduce: Reduce) -> None:
    """The clean loss is the mixed form on unmixed examples with y in {0, 1}."""
    labels = torch.tensor(LABELS["lonely"])
    points = embeddings(len(labels))
    relation = loss.relation(labels, labels, torch.arange(len(labels)))
    similar = similarities(points, points, loss.similarity)
    soft = loss.form.accumulate(similar, relation.positive.double(), relation.negative.double())
    hard = loss.form.accumulate(similar, relation.positive, relation.negative)
    assert loss.form.loss(soft).item() == pytest.approx(loss.form.loss(hard).item(), rel=1e-12)
    if not isinstance(loss, MultiSimilarity):  # whose clean pairs are mined
        assert loss.form.loss(soft).item() == pytest.approx(loss(points, labels).item(), rel=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_lam_1_of_positive_negative_pairs_repeats_the_positives(form: str) -> None:
    """sigma+(|N(a)| sum_P rho+) where the other side is empty."""
    labels = torch.tensor(LABELS["balanced"])
    points = embeddings(len(labels))
    loss, oracle = MultiSimilarity(), naive.multi_similarity()
    value = of_pairs(loss, points, labels, "positive_negative", form=form, lam=1.0)[0]
    similar = similarities(points, points, "cosine")
    wanted = 0.0
    for a in range(12):
        positive = sum(
            oracle.rho_positive(similar[a, p].item()) for p in range(12) if p != a and labels[p] == labels[a]
        )
        wanted += oracle.sigma_positive(9 * positive) / 12
    assert value.item() == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("form", FORMS)
def test_lam_1_of_anchor_negative_pairs_meets_the_anchor_itself(form: str) -> None:
    labels = torch.tensor(LABELS["balanced"])
    loss, oracle = MultiSimilarity(), naive.multi_similarity()
    value = of_pairs(loss, embeddings(12), labels, "anchor_negative", form=form, lam=1.0)[0]
    assert value.item() == pytest.approx(oracle.sigma_positive(9 * oracle.rho_positive(1.0)), rel=1e-9)


@pytest.mark.parametrize("lam", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("similarity", [0.70, 0.76, 0.77, 0.78, 0.85])
def test_the_positivity_rule(lam: float, similarity: float) -> None:
    """A single v pulls its anchor iff s <= ln(lam/(1-lam))/(beta+gamma) + m (Metrix, section 3.4)."""
    s = torch.tensor([[similarity]], dtype=torch.float64, requires_grad=True)
    form = MultiSimilarity().form
    weight = torch.tensor([[lam]], dtype=torch.float64)
    totals = form.accumulate(s, weight, 1 - weight)
    # The rule is of the two exponentials, before the logarithms.
    (totals.positive.exp() / 18 + totals.negative.exp() / 75).sum().backward()
    assert s.grad is not None
    bound = math.log(lam / (1 - lam)) / 93 + 0.77
    if abs(similarity - bound) > 1e-9:
        assert (s.grad.item() < 0) == (similarity < bound)


@labelled
@losses
def test_degenerate_batches(loss: PairLoss, oracle: Naive, reduce: Reduce, labels: list[int]) -> None:
    n = len(labels)
    for points in (torch.ones(n, DIM), torch.zeros(n, DIM), 1e4 * embeddings(n).float()):
        for dtype in (torch.float32, torch.bfloat16):
            for pairs in PAIRS:
                if not applies(loss, pairs):
                    continue
                images = points.detach().to(dtype, copy=True).requires_grad_()
                value = of_pairs(loss, images.float(), torch.tensor(labels), pairs)[0]
                value.backward()
                assert value.isfinite() and images.grad is not None and images.grad.isfinite().all()


@losses
def test_without_pairs_it_is_0(loss: PairLoss, oracle: Naive, reduce: Reduce) -> None:
    points = embeddings(4).requires_grad_()
    value = of_pairs(loss, points, torch.tensor(LABELS["one class"]), "anchor_negative")[0]
    value.backward()
    assert value == 0 and points.grad is not None and not points.grad.any()
    lonely = of_pairs(loss, points, torch.tensor(LABELS["one image a class"]), "positive_negative")[0]
    assert lonely == 0
