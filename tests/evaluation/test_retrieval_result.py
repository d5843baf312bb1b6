from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fewshot.errors import InputError
from fewshot.evaluation.embeddings import Embeddings
from fewshot.evaluation.retrieval import Retrieval, retrieve
from fewshot.evaluation.retrieval_result import read_retrieval, save_retrieval

NAMES = [f"class {number}" for number in range(7)]


def result(seed: int = 0, dim: int = 4) -> Retrieval:
    features = torch.randn(41, dim, generator=torch.Generator().manual_seed(seed))
    labels = np.append(np.arange(40) % 6, 6)
    return retrieve(Embeddings(features, np.arange(41) * 3), labels, recall_at=(1, 5))


def test_files_come_back(tmp_path: Path) -> None:
    saved = result()
    details = {"weights": Path("best.pt"), "nmi": float("nan"), "config": {"k": (1, 2)}}
    path = save_retrieval(tmp_path / "eval" / "retrieval", saved, NAMES, details)
    assert path == tmp_path / "eval" / "retrieval" / "result.json"
    assert sorted(file.name for file in path.parent.iterdir()) == ["queries.npz", "result.json"]
    back = read_retrieval(path.parent)
    for name in ("images", "classes", "ranks", "hits", "r_precision", "map_at_r", "reciprocal_rank"):
        np.testing.assert_array_equal(getattr(back.retrieval, name), getattr(saved, name))
    assert (back.retrieval.recall_at, back.retrieval.lonely, back.retrieval.gallery) == ((1, 5), 1, 41)
    assert back.retrieval.intervals() == saved.intervals()
    summary = json.loads(path.read_text())
    assert summary == back.summary
    assert summary["kind"] == "retrieval"
    assert (summary["queries"], summary["lonely"], summary["gallery"]) == (40, 1, 41)
    assert list(summary["measures"]) == ["recall@1", "recall@5", "r_precision", "map_at_r", "mrr"]
    recall = summary["measures"]["recall@5"]
    assert recall["mean"] == saved.hits[1].mean()
    assert recall["interval"] == saved.intervals()["recall@5"].half_width
    assert summary["interval_method"] == "95%, 1.96 * standard deviation / sqrt(n) over queries"
    assert summary["per_class"]["class 3"] == pytest.approx(saved.per_class()[3])
    assert "class 6" not in summary["per_class"]
    assert (summary["weights"], summary["nmi"], summary["config"]) == ("best.pt", None, {"k": [1, 2]})


def test_equal_sums_mean_equal_queries(tmp_path: Path) -> None:
    sums = []
    for folder, made in {"a": result(), "b": result(seed=5, dim=9)}.items():
        save_retrieval(tmp_path / folder, made, NAMES, {})
        sums.append(read_retrieval(tmp_path / folder).summary["queries_sha256"])
    features = torch.randn(40, 4)
    other = retrieve(Embeddings(features, np.arange(40) * 3), np.arange(40) % 6)
    save_retrieval(tmp_path / "c", other, NAMES, {})
    assert sums[0] == sums[1] != read_retrieval(tmp_path / "c").summary["queries_sha256"]


def test_files_are_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_retrieval(tmp_path, result(), NAMES, {})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(InputError, match="No space left on device; free space"):
            save_retrieval(tmp_path, result(1), NAMES, {})
    for taken in ("kind", "measures", "lonely"):
        with pytest.raises(ValueError, match=f"'{taken}'"):
            save_retrieval(tmp_path, result(1), NAMES, {taken: 1.0})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_missing_damaged_and_other_results_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no evaluation \(result.json is missing\)"):
        read_retrieval(tmp_path)
    save_retrieval(tmp_path, result(), NAMES, {})
    summary = json.loads((tmp_path / "result.json").read_text())
    for damage, complaint in (
        ({"kind": "few_shot"}, "holds no retrieval"),
        ({"recall_at": None}, "is damaged"),
        ([], "is damaged"),
    ):
        text = json.dumps({**summary, **damage} if isinstance(damage, dict) else damage)
        (tmp_path / "result.json").write_text(text)
        with pytest.raises(InputError, match=complaint):
            read_retrieval(tmp_path)
    (tmp_path / "result.json").write_text(json.dumps(summary))
    whole = (tmp_path / "queries.npz").read_bytes()
    (tmp_path / "queries.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="is damaged"):
        read_retrieval(tmp_path)
    (tmp_path / "queries.npz").unlink()
    with pytest.raises(InputError, match=r"queries.npz is missing"):
        read_retrieval(tmp_path)
