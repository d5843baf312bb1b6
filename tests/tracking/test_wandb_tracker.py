"""A real offline wandb, and what it wrote read back from its own transaction log."""

from __future__ import annotations

import json
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wandb
from PIL import Image

from fewshot.tracking.wandb import WandbTracker

pb = pytest.importorskip("wandb.proto.wandb_internal_pb2")


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_RUN_ID", "WANDB_SWEEP_ID", "WANDB_PROJECT", "WANDB_DIR", "WANDB_RESUME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    # wandb reads its environment once a process; an earlier test may have started it with another.
    wandb.teardown()


def records(folder: Path) -> list[Any]:
    """All records of the latest wandb run below `folder`, once wandb's own process has written the last."""
    found: list[Any] = []
    for _ in range(300):
        # Not even the file need be there when `finish` returns: wandb's own process writes it.
        logs = sorted(folder.rglob("*.wandb"), key=lambda path: path.stat().st_mtime_ns)
        found = parse(logs[-1].read_bytes()) if logs and logs[-1].stat().st_size > 7 else []
        if any(record.WhichOneof("record_type") == "exit" for record in found):
            return found
        time.sleep(0.1)
    raise AssertionError(f"no end below {folder}: {[record.WhichOneof('record_type') for record in found]}")


def parse(data: bytes) -> list[Any]:
    """LevelDB's log format behind 7 bytes of header."""
    assert data[:4] == b":W&B"
    found, position, pending = [], 7, b""
    while position + 7 <= len(data):
        if (left := 32768 - position % 32768) < 7:
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + 7])
        pending += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            record = pb.Record()
            record.ParseFromString(pending)
            found.append(record)
            pending = b""
    return found


def of_kind(folder: Path, kind: str) -> list[Any]:
    return [getattr(record, kind) for record in records(folder) if record.WhichOneof("record_type") == kind]


def history(folder: Path) -> list[dict[str, Any]]:
    """Logged values, without wandb's own."""
    lines = [
        {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in line.item}
        for line in of_kind(folder, "history")
    ]
    return [{key: value for key, value in line.items() if key[0] != "_"} for line in lines]


def updates(folder: Path, kind: str) -> dict[str, Any]:
    return {
        u.key: json.loads(u.value_json) for record in of_kind(folder, kind) for u in record.update if u.key
    }


def test_a_run_as_wandb_wrote_it(tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(picture)
    tracker = WandbTracker(tmp_path, project="p", group="g", tags=["a", "b"])
    tracker.config({"loss": {"k": 4}, "choices": {"loss": "icnn"}, "ways": 5})
    tracker.scalars({"train/loss": 1.5}, 20)
    tracker.scalars({"val/accuracy": 0.25}, 20)
    tracker.figure("curve", picture, 20)
    tracker.table("hardest", ["rank", "what", "image"], [[1, "bird", picture], [2, 3, None]])
    tracker.artifact("best model/1", picture)
    tracker.summary({"test": {"accuracy": 0.5}})
    tracker.close(0)

    (run,) = of_kind(tmp_path, "run")
    assert (run.project, run.run_group, list(run.tags), run.display_name) == (
        "p",
        "g",
        ["a", "b"],
        tmp_path.name,
    )
    assert run.run_id == (tmp_path / "wandb_id.txt").read_text().strip()
    config = updates(tmp_path, "config")
    assert config["loss.k"] == 4
    assert config["choices.loss"] == "icnn"
    assert config["ways"] == 5
    assert "loss" not in config
    logged = history(tmp_path)
    assert logged[:2] == [{"train/loss": 1.5, "step": 20}, {"val/accuracy": 0.25, "step": 20}]
    assert logged[2]["curve/_type"] == "image-file"
    assert {(m.glob_name, m.step_metric) for m in of_kind(tmp_path, "metric")} >= {("*", "step")}
    assert updates(tmp_path, "summary")["test.accuracy"] == 0.5
    (table,) = tmp_path.rglob("*.table.json")
    content = json.loads(table.read_text())
    assert content["columns"] == ["rank", "what", "image"]
    assert [row[:2] for row in content["data"]] == [[1, "bird"], [2, "3"]]
    assert content["data"][1][2] is None
    artifacts = of_kind(tmp_path, "artifact")
    (stored,) = (artifact for artifact in artifacts if artifact.type == "run_table")
    assert any(entry.path.startswith("media/images/") for entry in stored.manifest.contents)
    assert "best-model-1" in [artifact.name for artifact in artifacts]
    assert [record.exit_code for record in of_kind(tmp_path, "exit")] == [0]
    assert not of_kind(tmp_path, "preempting")


def test_a_stopped_run_is_marked_and_goes_on_under_its_id(tmp_path: Path) -> None:
    first = WandbTracker(tmp_path, mode="offline")
    first.scalars({"train/loss": 1.0}, 40)
    first.close(143)
    assert [record.exit_code for record in of_kind(tmp_path, "exit")] == [143]
    assert len(of_kind(tmp_path, "preempting")) == 1
    (before,) = of_kind(tmp_path, "run")

    second = WandbTracker(tmp_path, resume_step=20, mode="offline")
    second.scalars({"train/loss": 2.0}, 21)  # a lower step than wandb saw before
    second.close(0)
    (after,) = of_kind(tmp_path, "run")
    assert after.run_id == before.run_id
    assert history(tmp_path) == [{"train/loss": 2.0, "step": 21}]


def test_the_id_of_an_agent_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wandb_id.txt").write_text("older\n")
    monkeypatch.setenv("WANDB_RUN_ID", "fromagent")
    WandbTracker(tmp_path, mode="offline").close(0)
    (run,) = of_kind(tmp_path, "run")
    assert run.run_id == "fromagent"
    assert (tmp_path / "wandb_id.txt").read_text() == "fromagent\n"


def test_disabled_writes_no_log(tmp_path: Path) -> None:
    tracker = WandbTracker(tmp_path, mode="disabled")
    tracker.config({"a": 1})
    tracker.scalars({"a": 1.0}, 1)
    tracker.close(0)
    assert not list(tmp_path.rglob("*.wandb"))
