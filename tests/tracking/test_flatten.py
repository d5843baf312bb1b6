from __future__ import annotations

from pathlib import Path

from fewshot.tracking.flatten import flatten


def test_flatten() -> None:
    nested = {
        "loss": {"_target_": "fewshot.losses.icnn.ICNN", "k": 4, "terms": [{"weight": 1.0}, {"weight": 0.5}]},
        "choices": {"loss": "icnn"},
        "optimizer": {"betas": (0.9, 0.999), "folder": Path("a") / "b"},
        "empty": {},
        "resume": None,
    }
    assert flatten(nested) == {
        "loss._target_": "fewshot.losses.icnn.ICNN",
        "loss.k": 4,
        "loss.terms.0.weight": 1.0,
        "loss.terms.1.weight": 0.5,
        "choices.loss": "icnn",
        "optimizer.betas": [0.9, 0.999],
        "optimizer.folder": "a/b",
        "resume": None,
    }
