"""Mixing within a network against running it, or what follows the mixed map, on every mixture by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

from fewshot.errors import InputError
from fewshot.losses import (
    ICNN,
    NCA,
    BinomialDeviance,
    Contrastive,
    CosinePrototypicalCrossEntropy,
    CrossBatchMemory,
    CrossEntropy,
    InfoNCE,
    LiftedStructureHermans,
    MultiSimilarity,
    NormalizedSoftmax,
    NPair,
    PrototypicalCrossEntropy,
    ProxyAnchor,
    ProxyNCA,
    ProxyNCAPlusPlus,
    SoftTriple,
)
from fewshot.losses.pair_loss import relation_by_label
from fewshot.losses.similarity import similarities
from fewshot.mixup import blocks
from fewshot.mixup.examples import MixedVectors
from fewshot.mixup.metrix import Metrix
from fewshot.mixup.mixed_loss import candidates, loss_of_anchors, loss_of_mixed_anchors
from fewshot.mixup.mixing import Mixing
from fewshot.mixup.partners import all_partners, hardest_partners
from fewshot.mixup.pooled_maps import mixed_pool
from fewshot.models.conv4 import Conv4
from fewshot.models.embedder import Embedder
from fewshot.models.heads import LinearHead, NoHead
from fewshot.models.pooling import POOLINGS
from fewshot.objectives.episodic import Episodic
from fewshot.objectives.mixed import Mixed
from fewshot.objectives.mixed_episodic import MixedEpisodic
from fewshot.randomness import generator
from fewshot.sampling.feed import Batch

SIZE = 20
LABELS = torch.tensor([0, 0, 1, 1, 2, 2, 2])


def embedder(pool: str = "average_max", head: bool = True) -> Embedder:
    """A small network in float64, its BatchNorm at rest so that images do not depend on each other."""
    torch.manual_seed(0)
    backbone = Conv4(in_channels=1, width=6, depth=2, pool=pool)
    made = Embedder(
        backbone,
        lambda features: LinearHead(features, dim=5) if head else NoHead(features),
        mean=[0.1],
        std=[0.3],
        size=SIZE,
        channels=1,
    )
    return made.double().eval()


def images(count: int, stream: str = "mixing") -> Tensor:
    draw = generator(0, f"test {stream}", count)
    return torch.rand(count, 1, SIZE, SIZE, generator=draw, dtype=torch.float64)


def batch(largest: int | None = 3) -> Batch:
    return Batch(images(len(LABELS)), LABELS, largest_class=largest)


def draws(step: int = 0) -> torch.Generator:
    return generator(0, "test objective", step)


def mixed_vectors(
    network: Embedder, pictures: Tensor, where: str, stage: str | None, lam: Tensor | float
) -> Tensor:
    """[n, n, dim], the embedding of each mixture of two images, one pass of the network for each of them."""
    n = len(pictures)
    rows = []
    for lead in range(n):
        row = []
        for q in range(n):
            share = lam[lead, q] if isinstance(lam, Tensor) else lam
            first, second = pictures[lead : lead + 1], pictures[q : q + 1]
            if where == "input":
                row.append(network(share * first + (1 - share) * second))
            elif where == "feature":
                name = stage or network.stage_names[-1]
                mixed = share * network.up_to(first, name) + (1 - share) * network.up_to(second, name)
                row.append(network.from_stage(mixed, name))
            else:
                a, b = (nn.functional.normalize(network(x), dim=1) for x in (first, second))
                row.append(share * a + (1 - share) * b)
        rows.append(torch.cat(row))
    return torch.stack(rows)


# -------------------------------------------------------------------------------- pooling


@pytest.mark.parametrize("pool", POOLINGS)
@pytest.mark.parametrize("each_pair", [False, True])
@pytest.mark.parametrize("count", [None, 2])
def test_pooled_mixtures(pool: str, each_pair: bool, count: int | None) -> None:
    maps = torch.randn(4, 3, 2, 3, generator=generator(0, "test maps", 0), dtype=torch.float64)
    candidate = ~torch.eye(4, dtype=torch.bool)
    similar = torch.rand(4, 4, generator=generator(0, "test maps", 1), dtype=torch.float64)
    partners = all_partners(candidate) if count is None else hardest_partners(similar, candidate, count)
    draw = generator(0, "test maps", 2)
    lam = torch.rand(4, partners.count, generator=draw, dtype=torch.float64) if each_pair else 0.3
    for rows in (slice(0, 4), slice(1, 3)):
        found = mixed_pool(maps, pool, partners, lam, rows)
        for i, lead in enumerate(range(rows.start, rows.stop)):
            for k in range(partners.count):
                q = k if partners.index is None else int(partners.index[lead, k])
                share = lam[lead, k] if isinstance(lam, Tensor) else lam
                mixed = share * maps[lead] + (1 - share) * maps[q]
                assert torch.allclose(found[i, k], POOLINGS[pool](mixed[None])[0], rtol=1e-12)
    maps.requires_grad_()
    assert torch.autograd.gradcheck(lambda m: mixed_pool(m, pool, partners, lam, slice(1, 3)), maps)


def test_the_maximum_of_a_map_of_more_than_256_positions() -> None:
    maps = torch.randn(3, 2, 17, 17, generator=generator(0, "test maps", 3), dtype=torch.float64)
    maps.view(3, 2, -1)[:, :, 280] += 9  # a place whose number does not fit into a byte
    partners = all_partners(~torch.eye(3, dtype=torch.bool))
    maps.requires_grad_()
    mixed_pool(maps, "max", partners, 0.3, slice(0, 3)).sum().backward()
    found, maps.grad = maps.grad, None
    flat = maps.flatten(2)
    (0.3 * flat[:, None] + 0.7 * flat[None]).amax(-1).sum().backward()
    assert found is not None and maps.grad is not None and torch.allclose(found, maps.grad)


# ------------------------------------------------------------------------------ objectives


@pytest.mark.parametrize("pool", POOLINGS)
@pytest.mark.parametrize("where", ["embedding", "feature"])
@pytest.mark.parametrize("pairs", ["positive_negative", "anchor_negative"])
@pytest.mark.parametrize("draw", ["batch", "pair"])
def test_all_pairs_without_a_further_pass(pool: str, where: str, pairs: str, draw: str) -> None:
    network, loss = embedder(pool), MultiSimilarity()
    metrix = Metrix(where=where, pairs=pairs, draw=draw)  # type: ignore[arg-type]
    found, logs = Mixed(network, loss, metrix)(batch(), draws())
    lam = metrix.plan(draws()).lam((7, 7), torch.device("cpu"))
    vectors = mixed_vectors(network, batch().images, where, None, lam)
    relation = relation_by_label(LABELS, LABELS, torch.arange(7))
    leads = relation.positive if pairs == "positive_negative" else torch.eye(7, dtype=torch.bool)
    partners = all_partners(candidates(pairs, LABELS))  # type: ignore[arg-type]
    clean = network(batch().images)
    explicit = MixedVectors(clean, lambda rows: vectors[rows], "cosine", partners, lam, 1)
    mixed = loss_of_anchors(loss.form, explicit, relation, leads, pairs, (7, 7))  # type: ignore[arg-type]
    assert logs["clean"].item() == pytest.approx(loss(clean, LABELS).item(), rel=1e-9)
    assert logs["mixed"].item() == pytest.approx(mixed.item(), rel=1e-6)
    assert found.item() == pytest.approx((logs["clean"] + 0.4 * logs["mixed"]).item(), rel=1e-12)


@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize("pool", POOLINGS)
def test_what_the_mixtures_of_a_lead_take(pool: str, group: int) -> None:
    """Of an average the channels alone; what is flattened, or has a maximum, is the whole map."""
    wide = torch.nn.functional.pad(images(4), (0, 0 if pool == "flatten" else 8))
    positions = {"average": 1, "flatten": 5 * 5}.get(pool, 5 * 7)
    metrix = Metrix(where="feature")
    mixing = Mixing(embedder(pool), metrix, metrix.plan(draws()), wide)
    partners = all_partners(~torch.eye(4 // group, dtype=torch.bool))
    mixed = mixing.examples(partners, "squared_euclidean", group=group)
    assert mixed.elements == partners.count * group * 6 * positions


@pytest.mark.parametrize(("where", "stage"), [("input", None), ("feature", "block1")])
@pytest.mark.parametrize("draw", ["batch", "pair"])
def test_the_hardest_pairs_run_through_the_network(where: str, stage: str | None, draw: str) -> None:
    network, loss = embedder(), MultiSimilarity()
    metrix = Metrix(where=where, stage=stage, pairs="anchor_negative", hardest=2, draw=draw)  # type: ignore[arg-type]
    _, logs = Mixed(network, loss, metrix)(batch(), draws())
    clean = network(batch().images).detach()
    lam = metrix.plan(draws()).lam((7, 2), torch.device("cpu"))
    total = 0.0
    for a in range(7):
        negatives = [j for j in range(7) if LABELS[j] != LABELS[a]]
        similar = similarities(clean, clean, "cosine")[a]
        hardest = sorted(negatives, key=lambda j: -float(similar[j]))[:2]
        sums = [0.0, 0.0]
        for place, q in enumerate(hardest):
            share = float(lam[a, place]) if isinstance(lam, Tensor) else lam
            vector = mixed_vectors(network, batch().images[[a, q]], where, stage, share)[0, 1:]
            s = similarities(clean[a : a + 1], vector, "cosine").squeeze()
            sums[0] += float(share * torch.exp(-18 * (s.detach() - 0.77)))
            sums[1] += float((1 - share) * torch.exp(75 * (s.detach() - 0.77)))
        total += float(torch.tensor(1 + sums[0]).log() / 18 + torch.tensor(1 + sums[1]).log() / 75) / 7
    assert logs["mixed"].item() == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize(
    ("where", "stage", "forwards"),
    [
        ("embedding", None, [7]),
        ("feature", None, [7]),
        ("feature", "block2", [7]),
        ("feature", "block1", [7]),
        ("input", None, [7, 21]),
    ],
)
def test_passes_through_the_backbone(where: str, stage: str | None, forwards: Sequence[int]) -> None:
    network = embedder()
    seen: dict[str, list[int]] = {}
    for name, module in network.backbone.stages.named_children():
        module.register_forward_hook(lambda _m, x, _y, name=name: seen.setdefault(name, []).append(len(x[0])))
    Mixed(network, Contrastive(), Metrix(where=where, stage=stage))(batch(), draws())  # type: ignore[arg-type]
    assert seen["block1"] == list(forwards)
    assert seen["block2"] == ([7, 21] if stage == "block1" else list(forwards))


def test_proxies_meet_every_mixed_example() -> None:
    network = embedder()
    loss = NormalizedSoftmax(3, 5).double()
    metrix = Metrix(where="feature", hardest=2)
    _, logs = Mixed(network, loss, metrix)(batch(), draws())
    clean = network(batch().images)
    candidate = candidates("anchor_negative", LABELS)
    partners = hardest_partners(similarities(clean, clean, "cosine"), candidate, 2)
    lam = metrix.plan(draws()).lam((7, 2), torch.device("cpu"))
    assert isinstance(lam, float) and partners.index is not None
    whole = mixed_vectors(network, batch().images, "feature", None, lam)
    chosen = whole.gather(1, partners.index[..., None].expand(-1, -1, 5))
    explicit = MixedVectors(loss.weight, lambda rows: chosen[rows], "cosine", partners, lam, 1)
    wanted = loss_of_mixed_anchors(loss.form, explicit, LABELS, 3, lambda s: s)
    assert logs["mixed"].item() == pytest.approx(wanted.item(), rel=1e-6)


@pytest.mark.parametrize("largest", [3, None])
def test_the_largest_class_is_known_or_counted(largest: int | None) -> None:
    for loss in (Contrastive(), ProxyAnchor(3, 5).double()):
        objective = Mixed(embedder(), loss, Metrix(where="embedding", pairs="positive_negative"))
        assert objective(batch(largest), draws())[0].item() == objective(batch(3), draws())[0].item()


def test_n_pair_mixes_the_second_images_alone() -> None:
    """Its positives and negatives are second images; others would take the places of partners."""
    network, loss = embedder(), NPair()
    metrix = Metrix(where="embedding", pairs="positive_negative", hardest=2)
    objective = Mixed(network, loss, metrix)
    _, logs = objective(batch(), draws())
    z = network(batch().images).detach()
    lam = objective.mixup.plan(draws()).lam((7, 2), torch.device("cpu"))
    assert isinstance(lam, Tensor)  # one lam for all would leave a constant
    terms = []
    for a, p in ((0, 1), (2, 3), (4, 5)):
        seconds = sorted((j for j in (1, 3, 5) if j != p), key=lambda j: -float(z[p] @ z[j]))
        shares = [float(lam[p, place]) for place in range(2)]
        logits = torch.stack(
            [z[a] @ (share * z[p] + (1 - share) * z[n]) for share, n in zip(shares, seconds, strict=True)]
        )
        terms.append(log_softmax(logits, torch.tensor(shares, dtype=torch.float64)))
    assert logs["mixed"].item() == pytest.approx(torch.stack(terms).mean().item(), rel=1e-6)


def test_proxies_as_anchors_of_mixed_pairs() -> None:
    """The sums of both sides are averaged over the classes of the batch."""
    network, loss = embedder(), ProxyAnchor(9, 5).double()
    objective = Mixed(network, loss, Metrix(where="embedding"))
    _, logs = objective(batch(), draws())
    z = nn.functional.normalize(network(batch().images).detach(), dim=1)
    lam = objective.mixup.plan(draws()).lam((7, 7), torch.device("cpu"))
    assert isinstance(lam, float)
    total = 0.0
    for k in range(3):
        proxy = nn.functional.normalize(loss.weight[k].detach(), dim=0)
        s = torch.stack(
            [
                nn.functional.normalize(lam * z[p] + (1 - lam) * z[n], dim=0) @ proxy
                for p in range(7)
                for n in range(7)
                if LABELS[p] == k != LABELS[n]
            ]
        )
        total += float((1 + (lam * torch.exp(-32 * (s - 0.1))).sum()).log()) / 3
        total += float((1 + ((1 - lam) * torch.exp(32 * (s + 0.1))).sum()).log()) / 3
    assert logs["mixed"].item() == pytest.approx(total, rel=1e-6)


@pytest.mark.parametrize("pairs", ["alternate", "positive_positive"])
def test_pairs_of_a_proxy_loss(pairs: str) -> None:
    """Images of two classes are mixed unless those of one are asked for."""
    network, loss = embedder(), NormalizedSoftmax(3, 5).double()
    objective = Mixed(network, loss, Metrix(where="embedding", pairs=pairs))  # type: ignore[arg-type]
    _, logs = objective(batch(), draws())
    lam = objective.mixup.plan(draws()).lam((7, 7), torch.device("cpu"))
    vectors = mixed_vectors(network, batch().images, "embedding", None, lam)
    scores = torch.einsum(
        "lqd,kd->lqk", nn.functional.normalize(vectors, dim=2), nn.functional.normalize(loss.weight, dim=1)
    )
    terms = []
    for i in range(7):
        for j in range(7):
            if i != j and (LABELS[i] == LABELS[j]) == (pairs == "positive_positive"):
                y = torch.zeros(3, dtype=torch.float64)
                y[LABELS[i]] += lam
                y[LABELS[j]] += 1 - lam  # type: ignore[operator]
                terms.append(log_softmax(scores[i, j] / 0.05, y))
    assert logs["mixed"].item() == pytest.approx(torch.stack(terms).mean().item(), rel=1e-6)


MIXABLE: dict[str, Callable[[], nn.Module]] = {
    "contrastive": Contrastive,
    "multi_similarity": MultiSimilarity,
    "binomial_deviance": BinomialDeviance,
    "lifted": LiftedStructureHermans,
    "nca": NCA,
    "n_pair": NPair,
    "info_nce": InfoNCE,
    "proxy_anchor": lambda: ProxyAnchor(3, 5).double(),
    "proxy_nca": lambda: ProxyNCA(3, 5).double(),
    "proxy_nca_pp": lambda: ProxyNCAPlusPlus(3, 5).double(),
    "soft_triple": lambda: SoftTriple(3, 5).double(),
    "normalized_softmax": lambda: NormalizedSoftmax(3, 5).double(),
}


@pytest.mark.parametrize("make", MIXABLE.values(), ids=MIXABLE.keys())
@pytest.mark.parametrize("where", ["input", "feature", "embedding"])
def test_the_mixed_term_by_itself_trains_the_network(make: Callable[[], nn.Module], where: str) -> None:
    """Whichever of the alternating pairs a step draws: no mixed loss is a constant."""
    for step in range(4):
        network = embedder()
        total, logs = Mixed(network, make(), Metrix(where=where))(batch(), draws(step))  # type: ignore[arg-type]
        again, clean = network(batch().images), make()
        (total - clean(again, LABELS)).backward()
        largest = max(float(p.grad.abs().max()) for p in network.parameters() if p.grad is not None)
        assert largest > 1e-9, (step, logs)


def test_alternation_reaches_the_loss() -> None:
    """Each step has the loss of one of the two kinds of pairs, and both occur."""
    of_step = {
        pairs: [
            Mixed(embedder(), Contrastive(), Metrix(where="embedding", pairs=pairs))(batch(), draws(step))[0]
            for step in range(12)
        ]  # type: ignore[arg-type]
        for pairs in ("alternate", "positive_negative", "anchor_negative")
    }
    kinds = [
        torch.equal(alternate, positive)
        for alternate, positive in zip(of_step["alternate"], of_step["positive_negative"], strict=True)
    ]
    assert {True, False} == set(kinds)
    for step, positive in enumerate(kinds):
        other = of_step["positive_negative" if positive else "anchor_negative"][step]
        assert torch.equal(of_step["alternate"][step], other)


def test_batchnorm_remembers_unmixed_images_alone() -> None:
    pictures = batch()
    plain, mixed = embedder().train(), embedder().train()
    plain(pictures.images)
    Mixed(mixed, Contrastive(), Metrix(where="input"))(pictures, draws())[0].backward()
    for (name, kept), other in zip(plain.named_buffers(), mixed.buffers(), strict=True):
        assert torch.equal(kept, other), name
    before = [buffer.clone() for buffer in mixed.buffers()]
    mixed(pictures.images)  # and afterwards it goes on learning
    assert not all(torch.equal(kept, other) for kept, other in zip(before, mixed.buffers(), strict=True))


def test_compiled_it_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with several blocks, each computed again in the backward pass."""
    monkeypatch.setattr(blocks, "BLOCK", 100)
    gradients = []
    for compiled in (False, True):
        network = embedder()
        objective: nn.Module = Mixed(network, MultiSimilarity(), Metrix(where="feature"))
        if compiled:
            torch.compiler.reset()
            objective = torch.compile(objective, backend="aot_eager")  # type: ignore[assignment]
        loss, _ = objective(batch(), draws())
        loss.backward()
        gradients.append([loss.detach(), *(p.grad for p in network.parameters())])
    for one, other in zip(*gradients, strict=True):
        assert one is not None and torch.allclose(one, other, rtol=1e-6, atol=1e-9)


def test_random_places_are_all_drawn_and_depend_on_the_step_alone() -> None:
    objective = Mixed(embedder(), Contrastive(), Metrix(where="random"))
    places = {objective.mixup.plan(draws(step)).where for step in range(40)}
    assert places == {"input", "feature", "embedding"}
    assert torch.equal(objective(batch(), draws(3))[0], objective(batch(), draws(3))[0])
    assert not torch.equal(objective(batch(), draws(3))[0], objective(batch(), draws(4))[0])


def test_alternation_and_lam() -> None:
    metrix = Metrix(alpha=2.0)
    plans = [metrix.plan(draws(step)) for step in range(2000)]
    share = sum(plan.alternate == "anchor_negative" for plan in plans) / 2000
    assert 0.46 < share < 0.54
    drawn = torch.tensor([plan.lam((1, 1), torch.device("cpu")) for plan in plans])
    # Beta(2, 2): mean 1/2, variance 1/20.
    assert drawn.mean().item() == pytest.approx(0.5, abs=0.02)
    assert drawn.var().item() == pytest.approx(0.05, abs=0.005)
    each = Metrix(draw="pair").plan(draws()).lam((50, 50), torch.device("cpu"))
    assert isinstance(each, Tensor) and len(each.unique()) > 2400
    assert each.mean().item() == pytest.approx(0.5, abs=0.02)
    assert each.var().item() == pytest.approx(0.05, abs=0.005)


def test_one_lam_serves_a_whole_step() -> None:
    plan = Metrix(draw="batch").plan(draws())
    assert plan.lam((3, 3), torch.device("cpu")) == plan.lam((2, 9), torch.device("cpu"))


def test_a_memory_takes_part_in_the_clean_term_alone() -> None:
    network = embedder()
    memory = CrossBatchMemory(Contrastive(), 5, size=9).double()
    objective = Mixed(network, memory, Metrix(where="embedding"))
    first, second = (objective(batch(), draws())[1] for _ in range(2))
    assert torch.equal(first["mixed"], second["mixed"])
    assert second["clean"] != first["clean"]


# -------------------------------------------------------------------------------- episodes


def episode(ways: int = 3, shots: int = 2, queries: int = 2, episodes: int = 2) -> Batch:
    count = episodes * ways * (shots + queries)
    labels = torch.arange(episodes * ways).repeat_interleave(shots + queries) % ways
    return Batch(images(count), labels, (episodes, ways, shots, queries))


def log_softmax(logits: Tensor, weights: Tensor) -> Tensor:
    """-log(A / (A + B)), A and B the sums of exp weighted by y and 1 - y."""
    values = logits.exp()
    a, b = (weights * values).sum(), ((1 - weights) * values).sum()
    return -(a / (a + b)).log()


@pytest.mark.parametrize(
    "loss", [PrototypicalCrossEntropy(temperature=2.0), CosinePrototypicalCrossEntropy().double()]
)
@pytest.mark.parametrize("where", ["embedding", "feature"])
@pytest.mark.parametrize("pool", ["average_max", "flatten"])
def test_mixed_queries_meet_the_prototypes(loss: nn.Module, where: str, pool: str) -> None:
    network = embedder(pool)
    metrix = Metrix(where=where, episode="queries")  # type: ignore[arg-type]
    total, logs = MixedEpisodic(network, loss, metrix)(episode(), draws())
    plan = metrix.plan(draws())
    pictures = episode().images.view(2, 3, 4, 1, SIZE, SIZE)
    terms = []
    for e in range(2):
        lam = plan.lam((6, 6), torch.device("cpu"))
        assert isinstance(lam, float)
        prototypes = torch.stack([network(pictures[e, n, :2]).mean(0) for n in range(3)])
        queries = [(n, network(p[None])[0], p) for n in range(3) for p in pictures[e, n, 2:]]
        for n, z, p in queries:
            for m, z2, p2 in queries:
                if n == m:
                    continue
                if where == "feature":
                    maps = [network.up_to(x[None], "block2") for x in (p, p2)]
                    v = network.from_stage(lam * maps[0] + (1 - lam) * maps[1], "block2")[0]
                elif loss.similarity == "cosine":
                    v = lam * nn.functional.normalize(z, dim=0) + (1 - lam) * nn.functional.normalize(
                        z2, dim=0
                    )
                else:
                    v = lam * z + (1 - lam) * z2
                logits = (
                    10 * nn.functional.cosine_similarity(v[None], prototypes)
                    if loss.similarity == "cosine"
                    else -(v - prototypes).square().sum(1) / 2.0
                )
                weights = torch.zeros(3, dtype=torch.float64)
                weights[n], weights[m] = lam, 1 - lam
                terms.append(log_softmax(logits, weights))
    assert logs["mixed_queries"].item() == pytest.approx(torch.stack(terms).mean().item(), rel=1e-6)
    clean, clean_logs = Episodic(network, loss)(episode())
    assert logs["clean"].item() == pytest.approx(clean.item(), rel=1e-6)
    assert logs["accuracy"] == clean_logs["accuracy"]
    assert total.item() == pytest.approx((logs["clean"] + 0.4 * logs["mixed_queries"]).item(), rel=1e-12)


@pytest.mark.parametrize("where", ["embedding", "feature", "input"])
@pytest.mark.parametrize("draw", ["batch", "pair"])
@pytest.mark.parametrize("hardest", [None, 1])
def test_queries_meet_mixed_prototypes(where: str, draw: str, hardest: int | None) -> None:
    network, loss = embedder(), PrototypicalCrossEntropy(temperature=2.0)
    metrix = Metrix(where=where, episode="supports", draw=draw, hardest=hardest)  # type: ignore[arg-type]
    total, logs = MixedEpisodic(network, loss, metrix)(episode(), draws())
    plan = metrix.plan(draws())
    pictures = episode().images.view(2, 3, 4, 1, SIZE, SIZE)
    terms = []
    for e in range(2):
        clean = torch.stack([network(pictures[e, n, :2]).mean(0) for n in range(3)])
        count = hardest or (2 if where == "input" else 3)  # of three classes, one is the lead itself
        lam = plan.lam((3, 3 if where == "input" and hardest is None else count), torch.device("cpu"))
        prototypes = []
        for n in range(3):
            others = [m for m in range(3) if m != n]
            if hardest is not None or where == "input":
                near = [float(-(clean[n] - clean[m]).detach().square().sum()) for m in others]
                others = [m for _, m in sorted(zip(near, others, strict=True), reverse=True)][:count]
            for place, m in enumerate(others):
                at = place if hardest is not None or where == "input" else m
                share = float(lam[n, at]) if isinstance(lam, Tensor) else lam
                mixtures = []
                for first, second in zip(pictures[e, n, :2], pictures[e, m, :2], strict=True):
                    pair = (first[None], second[None])
                    if where == "input":
                        mixtures.append(network(share * pair[0] + (1 - share) * pair[1]))
                    elif where == "feature":
                        a, b = (network.up_to(x, "block2") for x in pair)
                        mixtures.append(network.from_stage(share * a + (1 - share) * b, "block2"))
                    else:
                        mixtures.append(share * network(pair[0]) + (1 - share) * network(pair[1]))
                prototypes.append((n, m, share, torch.cat(mixtures).mean(0)))
        for c in range(3):
            for q in pictures[e, c, 2:]:
                z = network(q[None])[0]
                logits = torch.stack([-(z - v).square().sum() / 2.0 for *_, v in prototypes])
                weights = [share * (c == n) + (1 - share) * (c == m) for n, m, share, _ in prototypes]
                terms.append(log_softmax(logits, torch.tensor(weights, dtype=torch.float64)))
    assert logs["mixed_supports"].item() == pytest.approx(torch.stack(terms).mean().item(), rel=1e-6)
    assert total.item() == pytest.approx((logs["clean"] + 0.4 * logs["mixed_supports"]).item(), rel=1e-12)


@pytest.mark.parametrize("where", ["feature", "embedding"])
@pytest.mark.parametrize("kind", ["queries", "supports"])
def test_blocks_of_an_episode_change_nothing(kind: str, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for size in (blocks.BLOCK, 1):
        monkeypatch.setattr(blocks, "BLOCK", size)
        network = embedder()
        metrix = Metrix(where=where, episode=kind)  # type: ignore[arg-type]
        loss, _ = MixedEpisodic(network, PrototypicalCrossEntropy(), metrix)(episode(), draws())
        loss.backward()
        found.append([loss.detach(), *(p.grad for p in network.parameters())])
    for whole, parts in zip(*found, strict=True):
        assert whole is not None and parts is not None and torch.allclose(whole, parts, rtol=1e-9, atol=1e-12)


def test_both_is_the_mean_of_the_two() -> None:
    objective = MixedEpisodic(
        embedder(), PrototypicalCrossEntropy(), Metrix(where="embedding", episode="both")
    )
    total, logs = objective(episode(), draws())
    mixed = (logs["mixed_queries"] + logs["mixed_supports"]) / 2
    assert total.item() == pytest.approx((logs["clean"] + 0.4 * mixed).item(), rel=1e-12)


@pytest.mark.parametrize("kind", ["queries", "supports", "both"])
@pytest.mark.parametrize("where", ["input", "feature", "embedding"])
def test_gradients_reach_the_network(kind: str, where: str) -> None:
    network = embedder()
    loss, _ = MixedEpisodic(network, PrototypicalCrossEntropy(), Metrix(where=where, episode=kind))(  # type: ignore[arg-type]
        episode(), draws()
    )
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


# -------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("loss", "options", "message"),
    [
        (CrossEntropy(3, 5), {}, "not of the generic form.*binomial_deviance.*contrastive.*soft_triple"),
        (NPair(), {"pairs": "negative_negative"}, "takes the logarithm"),
        (ProxyAnchor(3, 5), {"pairs": "anchor_negative"}, "are proxies"),
        (NormalizedSoftmax(3, 5), {"pairs": "negative_negative"}, "are anchors"),
        (InfoNCE(), {"draw": "batch"}, "mixup.draw=batch: InfoNCE .* would be a constant"),
        (NCA(), {"pairs": "positive_positive"}, "mixup.pairs=positive_positive: NCA .* a constant"),
        (NPair(), {"hardest": 1}, "mixup.hardest=1: NPair .* a constant"),
        (Contrastive(), {"episode": "both"}, "mixup.episode=both: Contrastive is trained on plain batches"),
        (Contrastive(), {"stage": "blok1"}, "did you mean 'block1'"),
    ],
)
def test_what_cannot_be_mixed(loss: nn.Module, options: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Mixed(embedder(), loss, Metrix(**options))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_episodes_that_cannot_be_mixed() -> None:
    with pytest.raises(InputError, match="not of the generic form"):
        MixedEpisodic(embedder(), ICNN(), Metrix())
    with pytest.raises(InputError, match=r"label_smoothing=0\.1: mixed labels"):
        MixedEpisodic(embedder(), PrototypicalCrossEntropy(label_smoothing=0.1), Metrix())
    with pytest.raises(InputError, match="leave it at alternate"):
        MixedEpisodic(embedder(), PrototypicalCrossEntropy(), Metrix(pairs="anchor_negative"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 0.0}, "mixup.alpha=0.0"),
        ({"weight": float("nan")}, "mixup.weight=nan"),
        ({"hardest": 0}, "mixup.hardest=0"),
        ({"hardest": -1}, "mixup.hardest=-1"),
        ({"where": "input", "stage": "block1"}, "mixup.stage=block1"),
    ],
)
def test_senseless_values(options: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Metrix(**options)  # type: ignore[arg-type]
