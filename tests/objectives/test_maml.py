"""MAML and ANIL against an inner loop written by hand, in float64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fewshot.errors import InputError
from fewshot.models.conv4 import Conv4
from fewshot.models.embedder import Embedder
from fewshot.models.heads import ClassifierHead
from fewshot.objectives.adaptation import Adaptation, episode_statistics
from fewshot.objectives.maml import MAML
from fewshot.sampling.feed import Batch

pytest.importorskip("learn2learn", reason="its algorithms are what is tested: make learn2learn")

EPISODES, WAYS, SHOTS, QUERIES = 2, 3, 2, 4


def embedder() -> Embedder:
    torch.manual_seed(0)
    made = Embedder(
        Conv4(1, width=4, depth=2),
        lambda features: ClassifierHead(features, WAYS),
        mean=[0.5],
        std=[0.2],
        size=12,
        channels=1,
    )
    return made.double().train()


def batch() -> Batch:
    each = SHOTS + QUERIES
    draw = torch.Generator().manual_seed(1)
    images = torch.rand(EPISODES * WAYS * each, 1, 12, 12, generator=draw, dtype=torch.float64)
    labels = torch.arange(WAYS).repeat_interleave(each).repeat(EPISODES)
    return Batch(images, labels, (EPISODES, WAYS, SHOTS, QUERIES))


def network(weights: dict[str, Tensor], images: Tensor, moments_of: int | None = None) -> Tensor:
    """The embedder's arithmetic, layer by layer; BatchNorm by the first `moments_of` images, or by all."""
    x = (images - 0.5) / 0.2
    for block in ("block1", "block2"):
        name = f"backbone.stages.{block}"
        x = F.conv2d(x, weights[f"{name}.conv.weight"], padding=1)
        seen = x[:moments_of]
        mean, variance = seen.mean((0, 2, 3)), seen.var((0, 2, 3), correction=0)
        x = (x - mean[:, None, None]) / (variance[:, None, None] + 1e-5).sqrt()
        gain, bias = weights[f"{name}.norm.weight"], weights[f"{name}.norm.bias"]
        x = F.relu(F.max_pool2d(x * gain[:, None, None] + bias[:, None, None], 2))
    # Float32, as embeddings leave `_pooled` only where they came in half precision.
    return F.linear(x.flatten(1), weights["head.layers.weight"], weights["head.layers.bias"])


def by_hand(made: Embedder, given: Batch, adaptation: Adaptation) -> Tensor:
    """The outer loss of Finn et al., episode by episode."""
    shared = dict(made.named_parameters())
    losses = []
    for episode in given.images.reshape(EPISODES, WAYS, SHOTS + QUERIES, 1, 12, 12):
        support = torch.cat([episode[way, :SHOTS] for way in range(WAYS)])
        query = torch.cat([episode[way, SHOTS:] for way in range(WAYS)])
        weights = dict(shared)
        adapted = [n for n in weights if adaptation.adapt == "all" or n.startswith("head.")]
        for _ in range(adaptation.inner_steps):
            loss = F.cross_entropy(network(weights, support), torch.arange(WAYS).repeat_interleave(SHOTS))
            gradients = torch.autograd.grad(
                loss, [weights[n] for n in adapted], create_graph=not adaptation.first_order
            )
            for name, gradient in zip(adapted, gradients, strict=True):
                weights[name] = weights[name] - adaptation.inner_lr * gradient
        if adaptation.statistics == "batch":
            logits = network(weights, query)
        else:
            logits = network(weights, torch.cat([support, query]), len(support))[len(support) :]
        losses.append(F.cross_entropy(logits, torch.arange(WAYS).repeat_interleave(QUERIES)))
    return torch.stack(losses).mean()


@pytest.mark.parametrize("adapt", ["all", "head"])
@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("statistics", ["batch", "support"])
def test_loss_and_gradient_are_those_of_an_inner_loop_by_hand(
    adapt: str, first_order: bool, statistics: str
) -> None:
    adaptation = Adaptation(adapt, inner_steps=2, first_order=first_order, statistics=statistics)
    objective = MAML(embedder(), adaptation, WAYS)
    parameters = list(objective.parameters())
    loss, _ = objective(batch())
    expected = by_hand(objective.embedder, batch(), adaptation)
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=1e-7)
    ours, theirs = torch.autograd.grad(loss, parameters), torch.autograd.grad(expected, parameters)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-7)


def test_the_second_order_matters() -> None:
    """Or the comparison above would not tell MAML from FOMAML."""
    gradients = []
    for first_order in (False, True):
        objective = MAML(embedder(), Adaptation(first_order=first_order), WAYS)
        gradients.append(torch.autograd.grad(objective(batch())[0], list(objective.parameters()))[0])
    assert not torch.allclose(*gradients, rtol=1e-2)


@pytest.mark.parametrize("adapt", ["all", "head"])
def test_what_is_adapted_and_that_the_embedder_stays(adapt: str) -> None:
    made = embedder()
    before = {name: value.clone() for name, value in made.named_parameters()}
    support = batch().images[: WAYS * SHOTS]
    with episode_statistics(made):
        moments = [layer.clone() for layer in made.buffers()]
        whole = Adaptation(adapt, inner_steps=3).fitted(made, support, WAYS)
        features = []
        hook = torch.nn.modules.module.register_module_forward_pre_hook(
            lambda module, given: features.append(given[0]) if isinstance(module, torch.nn.Linear) else None
        )
        whole(support)
        hook.remove()
        assert torch.equal(features[-1], made.features(support)) == (adapt == "head")
        assert not torch.equal(whole(support), made(support))
        assert all(torch.equal(a, b) for a, b in zip(moments, made.buffers(), strict=True))
    assert all(torch.equal(value, before[name]) for name, value in made.named_parameters())


@pytest.mark.parametrize("statistics", ["batch", "support"])
def test_transductive_means_that_queries_see_each_other(statistics: str) -> None:
    made = embedder().eval()
    adaptation = Adaptation(statistics=statistics)
    images = batch().images
    with episode_statistics(made), torch.no_grad():
        with torch.enable_grad():
            labeller = adaptation.fitted(made, images[:6], WAYS)
        together, alone = labeller(images[6:12])[:2], labeller(images[6:8])
    assert torch.allclose(together, alone) != adaptation.transductive(made)
    assert adaptation.transductive(made) == (statistics == "batch")
    assert not made.training


def test_training_lowers_the_loss_after_adaptation() -> None:
    objective = MAML(embedder(), Adaptation(), WAYS)
    optimizer = torch.optim.Adam(objective.parameters(), 1e-2)
    losses = []
    for _ in range(15):
        loss, _ = objective(batch())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_mistakes_are_one_line() -> None:
    for wrong in ({"adapt": "tail"}, {"inner_steps": 0}, {"inner_lr": 0.0}, {"statistics": "running"}):
        with pytest.raises(InputError, match=f"maml.{next(iter(wrong))}="):
            Adaptation(**wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="3 outputs, but an episode has 5 ways"):
        MAML(embedder(), Adaptation(), 5)
