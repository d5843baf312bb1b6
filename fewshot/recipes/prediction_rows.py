"""The rows of a prediction while it is made: on the disk after each batch, for one that is stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewshot.errors import InputError
from fewshot.whole_file import write_whole

ROWS = "rows.jsonl"
STATE = "state.json"


@dataclass(frozen=True)
class Rows:
    """`rows.jsonl` in the folder of a prediction: one row a query image, in order.

    Attributes:
        folder: of the prediction.
    """

    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / ROWS

    def kept(self, batch: int) -> int:
        """How many rows are there, after dropping what is no whole batch.

        A process that was killed may leave part of one; what is embedded in the same batches has the same
        bits.
        """
        if not self.path.exists():
            return 0
        whole = end = 0
        with self.path.open("rb") as file:
            count = 0
            for line in file:
                if not line.endswith(b"\n"):
                    break
                count, end = count + 1, end + len(line)
                if count % batch == 0:
                    whole, keep = count, end
        with self.path.open("r+b") as file:
            file.truncate(keep if whole else 0)
        return whole

    def append(self, rows: Sequence[dict[str, Any]]) -> None:
        """Add the rows of a batch.

        Raises:
            InputError: the disk is full or the folder cannot be written.
        """
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        try:
            with self.path.open("ab") as file:
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise InputError(
                f"cannot write {self.path}: {error.strerror}; free space, then resume={self.folder}"
            ) from error

    def __iter__(self) -> Iterator[dict[str, Any]]:
        with self.path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                try:
                    yield json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise InputError(f"{self.path}: line {number} is damaged; predict anew") from error


def write_state(folder: Path, status: str, fingerprint: str) -> None:
    """Say how a prediction stands (running, stopped or finished) and of what it is."""
    try:
        write_whole(folder / STATE, json.dumps({"status": status, "fingerprint": fingerprint}) + "\n")
    except OSError as error:
        raise InputError(f"cannot write {folder / STATE}: {error.strerror}; choose output_dir=") from error


def read_state(folder: Path) -> dict[str, str]:
    """How a prediction stands.

    Raises:
        InputError: the folder holds none.
    """
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        return {"status": str(state["status"]), "fingerprint": str(state["fingerprint"])}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"resume={folder} is no folder of a prediction: it has no whole {STATE}") from error
