"""N-pair without reading back how many pairs there are: the same value and gradient."""

from __future__ import annotations

import pytest
import torch

from fewshot.losses import n_pair


@pytest.mark.parametrize(
    "labels", [[0, 0, 1, 1, 2, 2], [0, 1, 1, 1, 2, 0, 3], [0, 1, 2], [0, 0, 0, 0], [5], [1, 0, 0]]
)
def test_leftover_pairs_count_nothing(labels: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    known = torch.tensor(labels)
    draw = torch.Generator().manual_seed(0)
    embeddings = 3 * torch.randn(len(labels), 4, generator=draw, dtype=torch.float64)
    results = []
    for padded in (False, True):
        if padded:
            monkeypatch.setattr(n_pair, "most_pairs", lambda second: (len(second) + 1) // 2)
        leaf = embeddings.clone().requires_grad_()
        value = n_pair.NPair()(leaf, known)
        value.backward()
        results.append((value.detach(), leaf.grad))
    torch.testing.assert_close(results[0], results[1])
    assert results[1][1] is not None and results[1][1].isfinite().all()
