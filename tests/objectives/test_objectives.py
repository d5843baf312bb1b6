from __future__ import annotations

import pytest
import torch

from fewshot.losses.combined import Combined
from fewshot.losses.cross_entropy import CrossEntropy
from fewshot.losses.proto_triplet import ProtoTriplet
from fewshot.losses.prototypical import PrototypicalCrossEntropy, prototypical_cross_entropy
from fewshot.models.conv4 import Conv4
from fewshot.models.embedder import Embedder
from fewshot.models.heads import NoHead
from fewshot.objectives.episodic import Episodic
from fewshot.objectives.plain import Plain
from fewshot.sampling.feed import Batch


def embedder() -> Embedder:
    torch.manual_seed(0)
    return Embedder(Conv4(1, width=8), NoHead, mean=[0.5], std=[0.2], size=28, channels=1)


def episodes(count: int = 2, ways: int = 3, shots: int = 2, queries: int = 4) -> Batch:
    images = torch.rand(
        count * ways * (shots + queries), 1, 28, 28, generator=torch.Generator().manual_seed(1)
    )
    labels = torch.arange(ways).repeat_interleave(shots + queries).repeat(count)
    return Batch(images, labels, (count, ways, shots, queries))


def test_support_and_query_are_cut_where_the_sampler_put_them() -> None:
    batch = episodes()
    objective = Episodic(embedder(), PrototypicalCrossEntropy())
    loss, logs = objective(batch)
    table = objective.embedder(batch.images).reshape(2, 3, 6, -1)
    assert torch.allclose(loss, prototypical_cross_entropy(table[:, :, :2], table[:, :, 2:]))
    right = 0
    for episode in table:
        prototypes = episode[:, :2].mean(1)
        for way in range(3):
            for query in episode[way, 2:]:
                right += int(((query - prototypes) ** 2).sum(-1).argmin()) == way
    assert logs["accuracy"].item() == pytest.approx(right / 24)
    assert not logs["accuracy"].requires_grad


def test_each_term_of_a_combined_loss_is_logged() -> None:
    losses = {"ce": PrototypicalCrossEntropy(), "pt": ProtoTriplet()}
    loss, logs = Episodic(embedder(), Combined(losses, ["ce", "pt"]))(episodes())
    assert loss.item() == pytest.approx((logs["ce"] + logs["pt"]).item() / 2)


def test_a_plain_batch_is_no_episode() -> None:
    with pytest.raises(ValueError, match="needs a batch of episodes"):
        Episodic(embedder(), PrototypicalCrossEntropy())(
            Batch(torch.rand(4, 1, 28, 28), torch.zeros(4).long())
        )


def test_a_plain_objective_reaches_embedder_and_classifier() -> None:
    model = embedder()
    objective = Plain(model, CrossEntropy(classes=3, dim=model.dim))
    loss, _ = objective(episodes())
    loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in objective.parameters())
