"""What a run took: time, memory and disk."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from fewshot.report.markup import Markup, join, tag
from fewshot.report.run_files import RunFiles
from fewshot.report.section import LeftOut


def cost(run: RunFiles) -> Markup:
    """A row for each figure that is known."""
    rows: list[tuple[object, object]] = []
    record = run.record
    seconds, steps = record.get("seconds"), record.get("steps")
    if seconds:
        rows.append(("training steps", duration(seconds)))
    if seconds and steps:
        rows.append(("steps a second", f"{steps / seconds:,.1f}"))
    if (whole := _whole(record)) is not None:
        rows.append(("from start to end", duration(whole)))
    for key, title in (("process", "peak memory of the process"), ("device", "peak memory on the device")):
        found = (record.get("peak_memory") or {}).get(key)
        if found:
            rows.append((title, size(found)))
    for result in run.results:
        spent = result.summary.get("seconds")
        if isinstance(spent, Mapping):
            told = ", ".join(f"{name} {duration(value)}" for name, value in spent.items())
            rows.append((f"evaluation {result.folder.name}", told))
    made = [
        result.summary["cost"] for result in run.results if isinstance(result.summary.get("cost"), Mapping)
    ]
    if made:
        for key, title in (
            ("images_seen", "training images seen"),
            ("kept_bytes", "kept beside the encoder"),
        ):
            if key in made[-1]:
                value = made[-1][key]
                rows.append((title, size(value) if key == "kept_bytes" else f"{value:,}"))
    for name in ("best.pt", "method.pt", "last.pt"):
        if (run.folder / name).is_file():
            rows.append((f"{name} on disk", size((run.folder / name).stat().st_size)))
    if not rows:
        raise LeftOut("run.json is missing or damaged, or the run was stopped before it ended")
    return tag("dl", *(join((tag("dt", title), tag("dd", value))) for title, value in rows))


def duration(seconds: float) -> str:
    """`4.2 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def size(count: float) -> str:
    """Bytes as MiB or GiB."""
    return f"{count / 2**30:,.2f} GiB" if count >= 2**30 else f"{count / 2**20:,.1f} MiB"


def _whole(record: Mapping[str, object]) -> float | None:
    try:
        began, ended = (datetime.fromisoformat(str(record[key])) for key in ("started", "ended"))
    except (KeyError, ValueError):
        return None
    return (ended - began).total_seconds()
