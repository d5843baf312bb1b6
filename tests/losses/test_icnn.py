"""ICNN in all its variants, and the neighbour search beneath it."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import naive_losses as naive
import pytest
import torch
from torch import Tensor

from fewshot.errors import InputError
from fewshot.losses import ICNN, ICNN2021, icnn
from fewshot.losses.icnn_score import closeness, relative_distances
from fewshot.losses.neighbours import nearest_neighbours
from fewshot.randomness import generator

VARIANTS = ("full", "support", "query", "query_prototypes")
SHAPES = ((5, 1, 3), (3, 5, 4), (4, 7, 2), (2, 1, 1))


def episode(
    ways: int, shots: int, queries: int, dim: int = 6, index: int = 0, spread: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Float64 support and query around class means, so that neighbours are of both kinds."""
    draw = generator(0, "test episode", index)
    means = spread * torch.randn(ways, 1, dim, generator=draw, dtype=torch.float64)
    images = means + torch.randn(ways, shots + queries, dim, generator=draw, dtype=torch.float64)
    return images[:, :shots], images[:, shots:]


def naive_lists(support: Tensor, query: Tensor, variant: str) -> list[list[tuple[float, bool]]]:
    return naive.ranked(*naive.searched(support.tolist(), query.tolist(), variant))


# ----------------------------------------------------------------------------- against the equations


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("k", "inspected"), [(1, None), (4, None), (3, 5), (4, 1000)])
@pytest.mark.parametrize("omega", [None, "biased", "unbiased"])
def test_equals_loops(shape: Any, variant: Any, k: int, inspected: int | None, omega: str | None) -> None:
    support, query = episode(*shape)
    lists = naive_lists(support, query, variant)
    if omega == "unbiased" and len(lists) * min(k, len(lists[0])) == 1:
        pytest.skip("the unbiased variance of one number does not exist")
    default = None if variant == "full" else k + 1
    wanted = naive.icnn_score(lists, k, inspected or default, variant != "query_prototypes", omega)
    loss = ICNN(variant, k, inspected, omega is not None, omega == "unbiased")
    assert loss(support, query).item() == pytest.approx(-math.log(wanted), rel=1e-9)


def test_a_plain_batch_is_a_set_without_queries() -> None:
    """In any order of its images; that of an episode gives the episode's loss."""
    support, query = episode(3, 2, 3)
    images = torch.cat((support, query), 1).flatten(0, 1)
    labels = torch.arange(3).repeat_interleave(5)
    order = torch.randperm(15, generator=generator(0, "test order", 0))
    for loss in (ICNN(), ICNN(k=2, inspected=6, omega=True, unbiased=False)):
        expected = loss(support, query)
        torch.testing.assert_close(loss.of_set(images, labels), expected)
        torch.testing.assert_close(loss.of_set(images[order], 7 - labels[order]), expected)
    torch.testing.assert_close(ICNN(k=3).of_set(images[:9], labels[:9]), icnn(images[:9], labels[:9], k=3))
    for loss, choice in ((ICNN("query"), "variant=query"), (ICNN(official=True), "official=true")):
        with pytest.raises(InputError, match=rf"loss\.{choice} needs episodes"):
            loss.of_set(images, labels)


@pytest.mark.parametrize("inspected", [None, 4, 7])
@pytest.mark.parametrize("omega", [False, True])
def test_function_equals_loops(inspected: int | None, omega: bool) -> None:
    draw = generator(0, "test points", 0)
    points = torch.randn(3, 20, 4, generator=draw, dtype=torch.float64)
    labels = torch.randint(0, 4, (3, 20), generator=draw)
    scores = [
        naive.icnn_score(naive.ranked(p, y, None, y), 4, inspected, omega="unbiased" if omega else None)
        for p, y in zip(points.tolist(), labels.tolist(), strict=True)
    ]
    wanted = sum(-math.log(score) for score in scores) / 3
    assert icnn(points, labels, 4, inspected, omega).item() == pytest.approx(wanted, rel=1e-9)
    alone = icnn(points[0], labels[0], inspected=inspected, omega=omega)
    assert alone.item() == pytest.approx(-math.log(scores[0]), rel=1e-9)
    shared = icnn(points, labels[0], inspected=inspected, omega=omega)
    each = [icnn(p, labels[0], inspected=inspected, omega=omega) for p in points]
    assert shared.item() == pytest.approx(torch.stack(each).mean().item(), rel=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("omega", [None, "biased", "unbiased"])
@pytest.mark.parametrize("exponents", [(2.0, 2.0, 2.0), (1.0, 3.0, 4.0)])
def test_score_of_2021_equals_loops(shape: Any, variant: Any, omega: str | None, exponents: Any) -> None:
    support, query = episode(*shape)
    lists = naive_lists(support, query, variant)
    wanted = 1 - naive.icnn_2021_score(lists, 5, *exponents, variant != "query_prototypes", omega)
    loss = ICNN2021(variant, 5, *exponents, omega is not None, omega == "unbiased")
    assert loss(support, query).item() == pytest.approx(wanted, rel=1e-9, abs=1e-12)


def test_three_points_by_hand() -> None:
    points, labels = torch.tensor([[0.0], [1.0], [3.0]], dtype=torch.float64), torch.tensor([0, 0, 1])
    # Point 0: a friend at 1, an enemy at 3, r = 1/3. Point 1: a friend at 1, an enemy at 2, r = 1/2. Point 3:
    # enemies at 2 and 3, no friend. D = 3.
    intra = 1 - (Fraction(1, 3) + Fraction(1, 2)) / 2
    inter = (Fraction(3, 3) + Fraction(2, 3) + Fraction(2 + 3, 2 * 3)) / 3
    closeness_, purity = (intra + inter) / 2, Fraction(2, 6)
    assert (closeness_ + purity) / 2 == Fraction(25, 48)
    assert icnn(points, labels, k=2).item() == pytest.approx(math.log(48 / 25), abs=2e-6)
    # Zero-filled: friends 1/3, 1/2 and four 0, enemies 1, 2/3, 2/3, 1 and two 0; their squares sum to
    # 13/36 and 26/9, their sums are 5/6 and 10/3.
    spread = (Fraction(13, 36) - Fraction(5, 6) ** 2 / 6 + Fraction(26, 9) - Fraction(10, 3) ** 2 / 6) / 5
    with_omega = (closeness_ + purity + 1 - spread) / 3
    assert icnn(points, labels, k=2, omega=True).item() == pytest.approx(-math.log(with_omega), abs=2e-6)


@pytest.mark.parametrize("dim", [2, 64])
def test_inspecting_images_a_class_is_inspecting_all(dim: int) -> None:
    support, query = episode(5, 2, 6, dim)
    assert torch.equal(ICNN("full", inspected=8)(support, query), ICNN("full")(support, query))


# ----------------------------------------------------------------------------- the official preset


def official_score(support: Tensor, query: Tensor, variant: str, k: int = 4) -> float:
    """What the authors' public code computes: it clips k to the targets less 2, and gamma is then 1."""
    lists = naive_lists(support, query, variant)
    targets = len(lists[0]) + (variant in ("full", "support"))
    clipped = k + 2 >= targets
    k = targets - 2 if clipped else k
    inspected = support.shape[1] + query.shape[1] if variant == "full" else k + 1
    if variant in ("query", "query_prototypes"):
        lists = [row[1:] for row in lists]
    if not clipped:
        return naive.icnn_score(lists, k, inspected)
    return (naive.icnn_score(lists, k, inspected, gamma=False) + 1) / 2


@pytest.mark.parametrize("shape", [(5, 1, 15), (5, 5, 3), (8, 1, 5), (3, 5, 4)])
@pytest.mark.parametrize("variant", VARIANTS)
def test_official_preset(shape: Any, variant: Any) -> None:
    support, query = episode(*shape)
    wanted = -math.log(official_score(support, query, variant))
    assert ICNN(variant, official=True)(support, query).item() == pytest.approx(wanted, rel=1e-9)


def test_only_the_official_preset_drops_the_nearest_target() -> None:
    # Each query lies on its own support, so dropping the nearest target leaves enemies alone.
    support = 10 * torch.eye(8, dtype=torch.float64)[:, None]
    query = support + 0.1
    assert nearest(support, query, skip=0).same.all()
    assert not nearest(support, query, skip=1).same.any()
    assert ICNN("query", k=1)(support, query) < ICNN("query", k=1, official=True)(support, query)


def nearest(support: Tensor, query: Tensor, skip: int) -> Any:
    labels = torch.arange(len(support))
    return nearest_neighbours(query[None, :, 0], labels, support[None, :, 0], labels, k=1, skip=skip)


def test_official_preset_needs_three_targets() -> None:
    support, query = episode(2, 1, 1)
    with pytest.raises(InputError, match="needs 3 targets an episode, this one has 2"):
        ICNN("query", official=True)(support, query)


# ----------------------------------------------------------------------------- neighbours


def test_ties_go_to_the_smaller_index() -> None:
    draw = generator(0, "test grid", 0)
    points = torch.randint(0, 3, (2, 40, 2), generator=draw).float()
    targets = torch.randint(0, 3, (2, 50, 2), generator=draw).float()
    labels, target_labels = torch.arange(40) % 3, torch.randint(0, 3, (2, 50), generator=draw)
    found = nearest_neighbours(points, labels, targets, target_labels, k=20)
    squares = (points[:, :, None] - targets[:, None]).square().sum(-1)
    order = squares.sort(dim=-1, stable=True).indices[..., :20]
    same = target_labels[:, None].expand(-1, 40, -1).gather(2, order) == labels[:, None]
    assert torch.equal(found.same, same)
    assert torch.equal(found.distances, (squares.gather(2, order) + 1e-6).sqrt())


def test_a_point_is_excluded_by_index_also_among_duplicates() -> None:
    points = torch.tensor([[[0.0], [0.0], [5.0]]])
    found = nearest_neighbours(points, torch.tensor([0, 1, 0]), k=1)
    # Dropping the first of the sorted targets would leave point 1 beside itself: a friend.
    assert found.same.tolist() == [[[False], [False], [True]]]
    assert found.distances.flatten().tolist() == pytest.approx([1e-3, 1e-3, 5.0])


def test_distances_of_near_duplicates_are_exact_in_float32() -> None:
    draw = generator(0, "test duplicates", 0)
    points = 100 + torch.randn(1, 60, 1600, generator=draw)
    points[0, 1] = points[0, 0]
    points[0, 3] = points[0, 2] + 1e-3 * torch.randn(1600, generator=draw)
    labels = torch.zeros(60, dtype=torch.int64)
    found = nearest_neighbours(points, labels, k=1)
    exact = nearest_neighbours(points.double(), labels, k=1)
    torch.testing.assert_close(found.distances.double(), exact.distances, rtol=1e-5, atol=0)
    assert found.distances[0, 0, 0].item() == pytest.approx(1e-3)


def test_no_enemy_among_the_inspected() -> None:
    points = torch.tensor([[[0.0], [1.0], [2.0], [50.0], [51.0], [52.0]]])
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    assert nearest_neighbours(points, labels, k=2, inspected=2).enemy.isinf().all()
    assert nearest_neighbours(points, labels, k=2, inspected=3).enemy[0].tolist() == [50, 49, 48, 48, 49, 50]


@pytest.mark.parametrize("inspected", [2, 3])
def test_friends_without_an_enemy_count_as_touching(inspected: int) -> None:
    points = torch.tensor(
        [[0.0], [1.0], [2.0], [50.0], [51.0], [52.0]], dtype=torch.float64, requires_grad=True
    )
    loss = icnn(points, torch.tensor([0, 0, 0, 1, 1, 1]), k=2, inspected=inspected)
    loss.backward()
    if inspected == 2:  # lambda_s = 1, lambda_d = 1 as nobody has an enemy, gamma = 1
        assert loss.item() == 0
        assert not points.grad.any()
    else:
        assert loss.item() > 0


# ----------------------------------------------------------------------------- special sets


def test_without_friends_lambda_s_is_1() -> None:
    points = torch.tensor([[0.0], [1.0], [3.0]], dtype=torch.float64)
    # Each alone in its class: D = 3, b = (1/3 + 1)/2, (1/3 + 2/3)/2, (2/3 + 1)/2; gamma = 0.
    inter = (Fraction(2, 3) + Fraction(1, 2) + Fraction(5, 6)) / 3
    score = (1 + inter) / 4
    assert icnn(points, torch.tensor([4, 7, 9]), k=2).item() == pytest.approx(-math.log(score), abs=2e-6)


def test_one_class_has_the_best_score() -> None:
    points = torch.randn(9, 4, generator=generator(0, "test one class", 0))
    assert icnn(points, torch.zeros(9, dtype=torch.int64)).item() == 0


def test_support_of_one_shot_clips_k_to_the_others() -> None:
    support, query = episode(5, 1, 15)
    assert torch.equal(ICNN("support", k=4)(support, query), ICNN("support", k=40)(support, query))


def test_scores_lie_between_0_and_1() -> None:
    for index in range(20):
        support, query = episode(4, 3, 3, dim=2, index=index, spread=index / 5)
        for variant in VARIANTS:
            for omega in (False, True):
                score = ICNN(variant, omega=omega).score(support, query)
                assert 0 < score.item() <= 1


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("loss", [ICNN, ICNN2021])
def test_a_common_scale_changes_nothing(variant: Any, loss: Any) -> None:
    support, query = episode(4, 3, 3)
    reference = loss(variant)(support, query).item()
    for scale in (0.1, 100.0):
        assert loss(variant)(scale * support, scale * query).item() == pytest.approx(reference, rel=1e-4)


def test_gradient_reaches_every_part_of_the_score() -> None:
    # Moving the friend changes r through d_ij, moving the nearest enemy through e_i.
    points = torch.tensor([[[0.0], [1.0], [4.0], [6.0]]], dtype=torch.float64, requires_grad=True)
    found = nearest_neighbours(points, torch.tensor([0, 0, 1, 1]), k=1)
    friends, enemies = relative_distances(found)
    (gradient,) = torch.autograd.grad(friends[0, 1, 0], points)
    # Of point 1, r = d(1, 0) / d(1, 4) = 1/3; by the friend -1/3, by itself 4/9, by the enemy -1/9.
    torch.testing.assert_close(
        gradient.flatten(), torch.tensor([-3, 4, -1, 0]).double() / 9, rtol=0, atol=1e-5
    )
    assert closeness(friends, enemies, found.same).requires_grad


def test_descending_the_loss_gathers_the_classes() -> None:
    draw = generator(0, "test descent", 0)
    points = torch.randn(30, 8, generator=draw).requires_grad_()
    labels = torch.arange(30) % 3
    descent = torch.optim.Adam([points], lr=0.05)
    before = nearest_neighbours(points[None], labels, k=4).same.float().mean()
    for _ in range(200):
        descent.zero_grad()
        icnn(points, labels).backward()
        descent.step()
    after = nearest_neighbours(points[None], labels, k=4).same.float().mean()
    assert before < 0.5
    assert after > 0.7


# ----------------------------------------------------------------------------- misuse


def test_misuse_says_what_is_wrong() -> None:
    points, labels = torch.zeros(4, 2), torch.zeros(4, dtype=torch.int64)
    with pytest.raises(ValueError, match="leaves no neighbour"):
        icnn(points[:1], labels[:1])
    with pytest.raises(ValueError, match=r"got \[4, 2\] and \[3\]"):
        icnn(points, labels[:3])
    with pytest.raises(ValueError, match="inspected=2 is below k=3"):
        icnn(points, labels, k=3, inspected=2)
    with pytest.raises(InputError, match="k=0"):
        ICNN(k=0)
    with pytest.raises(InputError, match="inspected=3 of the loss must be at least k=4"):
        ICNN(inspected=3)
    with pytest.raises(InputError, match="p=0"):
        ICNN2021(p=0)
