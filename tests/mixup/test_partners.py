"""Partners and meetings against plain loops."""

from __future__ import annotations

import pytest
import torch

from fewshot.mixup.partners import all_partners, hardest_partners, meetings
from fewshot.randomness import generator


@pytest.mark.parametrize("count", [1, 3, 9])
def test_the_hardest_partners_are_the_most_similar_candidates(count: int) -> None:
    similarity = torch.randn(6, 6, generator=generator(0, "test partners", 0))
    candidate = torch.rand(6, 6, generator=generator(0, "test partners", 1)) < 0.5
    found = hardest_partners(similarity, candidate, count)
    assert found.count == min(count, 6) and found.index is not None and found.index.shape == (6, found.count)
    for lead in range(6):
        there = [q for q in range(6) if candidate[lead, q]]
        near = sorted(there, key=lambda q: float(similarity[lead, q]), reverse=True)[:count]
        assert found.index[lead][found.allowed[lead]].tolist() == near
        assert found.allowed[lead].tolist() == [place < len(near) for place in range(found.count)]


def test_values_of_partners() -> None:
    candidate = torch.rand(5, 5, generator=generator(0, "test partners", 2)) < 0.7
    values = torch.randn(5, 5, generator=generator(0, "test partners", 3))
    everyone, few = all_partners(candidate), hardest_partners(values, candidate, 2)
    assert everyone.count == 5 and everyone.allowed is candidate
    rows = slice(1, 4)
    assert everyone.of(rows, values[rows]).equal(values[rows])
    assert everyone.of(rows, values[0]).equal(values[0])
    for place, lead in enumerate(range(1, 4)):
        for k in range(2):
            q = few.index[lead, k]  # type: ignore[index]
            assert few.of(rows, values[rows])[place, k] == values[lead, q]
            assert few.of(rows, values[0])[place, k] == values[0, q]


@pytest.mark.parametrize(("anchors", "leads"), [(4, 7), (7, 4), (1, 3)])
@pytest.mark.parametrize("spare", [0, 2])
@pytest.mark.parametrize("density", [0.0, 0.4, 1.0])
def test_meetings_are_the_relation(anchors: int, leads: int, spare: int, density: float) -> None:
    meets = torch.rand(anchors, leads, generator=generator(0, "test meetings", leads)) < density
    most = (int(meets.sum(0).max()) + spare, int(meets.sum(1).max()) + spare)
    found = meetings(meets, *most)
    assert found.anchors.shape == (leads, min(max(most[0], 1), anchors))
    assert found.places.shape == found.there.shape == (anchors, min(max(most[1], 1), leads))
    for lead in range(leads):
        of_lead = [a for a in range(anchors) if meets[a, lead]]
        assert found.anchors[lead, : len(of_lead)].tolist() == of_lead
    for a in range(anchors):
        of_anchor = [lead for lead in range(leads) if meets[a, lead]]
        assert found.there[a].tolist() == [k < len(of_anchor) for k in range(found.there.shape[1])]
        for k, lead in enumerate(of_anchor):
            place = int(found.places[a, k])
            assert place // found.anchors.shape[1] == lead and found.anchors.flatten()[place] == a
        assert (found.places[a, len(of_anchor) :] == 0).all()
