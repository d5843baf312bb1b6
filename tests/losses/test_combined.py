"""Named terms, their mean and weights, and the ablation grid of SuSana Distancia."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor, nn

from fewshot.errors import InputError
from fewshot.losses import (
    ICNN,
    NCA,
    Combined,
    CosinePrototypicalCrossEntropy,
    ProtoTriplet,
    PrototypicalCrossEntropy,
)
from fewshot.randomness import generator


def available() -> dict[str, nn.Module]:
    return {
        "cross_entropy": PrototypicalCrossEntropy(),
        "cosine": CosinePrototypicalCrossEntropy(),
        "proto_triplet": ProtoTriplet(),
        "icnn_full": ICNN(),
    }


def episode() -> tuple[Tensor, Tensor]:
    images = torch.randn(2, 4, 5, 6, generator=generator(0, "test episode", 0), dtype=torch.float64)
    return images[:, :, :2], images[:, :, 2:]


def test_the_mean_of_the_chosen_terms() -> None:
    support, query = episode()
    combined = Combined(available(), ["icnn_full", "cross_entropy", "proto_triplet"])
    terms = combined.named_terms(support, query)
    assert list(terms) == ["icnn_full", "cross_entropy", "proto_triplet"]
    for name, term in terms.items():
        assert torch.equal(term, available()[name](support, query))
    torch.testing.assert_close(combined(support, query), sum(terms.values()) / 3)
    assert torch.equal(combined.combine(terms), combined(support, query))


def test_weights_replace_the_mean() -> None:
    support, query = episode()
    combined = Combined(available(), ["icnn_full", "cross_entropy"], {"cross_entropy": 2.0, "icnn_full": 0.5})
    wanted = 2 * PrototypicalCrossEntropy()(support, query) + 0.5 * ICNN()(support, query)
    torch.testing.assert_close(combined(support, query), wanted)


def test_only_chosen_terms_have_parameters() -> None:
    assert not list(Combined(available(), ["icnn_full"]).parameters())
    assert [name for name, _ in Combined(available(), ["cosine"]).named_parameters()] == [
        "losses.cosine.scale"
    ]


@pytest.mark.parametrize(
    ("terms", "weights", "message"),
    [
        ([], None, "terms of the loss is empty; choose among cross_entropy, cosine"),
        (["icnn"], None, "no term 'icnn' to choose.*did you mean 'icnn_full'"),
        (["crossentropy"], None, "did you mean 'cross_entropy'"),
        (["nothing_like_it_at_all"], None, "the terms are cross_entropy, cosine, proto_triplet, icnn_full$"),
        ("icnn_full", None, r"write terms=\[icnn_full\]"),
        (["cosine", "cosine"], None, "repeats a term"),
        (["cosine"], {"cosin": 1.0}, "weights of the loss has no term 'cosin'.*did you mean 'cosine'"),
        (["cosine"], {"cosine": 1.0, "icnn_full": 1.0}, "weights of the loss has no term 'icnn_full'"),
        (["cosine", "icnn_full"], {"cosine": 1.0}, "weights of the loss lacks icnn_full"),
        (["nca"], None, "term nca of the loss is not an episodic loss"),
    ],
)
def test_mistakes_say_what_to_do(terms: list[str], weights: dict[str, float] | None, message: str) -> None:
    choices = available() | ({"nca": NCA()} if terms == ["nca"] else {})
    with pytest.raises(InputError) as caught:
        Combined(choices, terms, weights)
    assert re.search(message, str(caught.value))
    assert "\n" not in str(caught.value)
