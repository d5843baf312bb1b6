"""Fill a table of many runs, or go on filling it.

    python -m fewshot table NAME [output=DIR] [report=true] [KEY=VALUE ...]

NAME is a file of conf/table. Each missing run is trained and evaluated in a process of its own;
stop it at any time, and the same command goes on where it was. `report=true` runs nothing. Other
KEY=VALUE go to every training (threads=1, device=cuda). The table is written to
OUTPUT/NAME/table.md (output=runs/tables) after every run, and printed at the end.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from fewshot.errors import InputError


def run(words: Sequence[str]) -> int:
    """Fill the table named first; returns the exit status."""
    if not words or "=" in words[0]:
        raise InputError("table: needs the name of a table: python -m fewshot table NAME")
    from fewshot.cli.conf_folder import conf_path
    from fewshot.recipes.table import Table, fill
    from fewshot.recipes.table_report import report

    name, *settings = words
    options = dict(word.split("=", 1) for word in settings if word.startswith(("output=", "report=")))
    further = [word for word in settings if not word.startswith(("output=", "report="))]
    for word in further:
        if "=" not in word:
            raise InputError(f"table {name}: '{word}' is not KEY=VALUE")
        if word.lstrip("+").startswith(("output_dir=", "resume=", "seed=")):
            raise InputError(f"table {name}: {word}: the table sets it for each run (output=DIR moves all)")
    if options.get("report", "false") not in ("true", "false"):
        raise InputError(f"table {name}: report={options['report']} must be true or false")
    table = Table.read(conf_path() / "table" / f"{name}.yaml")
    output = Path(options.get("output", "runs/tables")) / name
    page = output / "table.md"

    def write() -> str:
        text = report(table, output)
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(text, encoding="utf-8")
        return text

    def start(verb: str, overrides: Sequence[str]) -> None:
        print(f"{verb} {' '.join(overrides)}", file=sys.stderr, flush=True)
        with subprocess.Popen([sys.executable, "-m", "fewshot", verb, *overrides]) as process:
            try:
                status = process.wait()
            except BaseException:
                # Asked to stop: the run is asked too, and saves its state before it ends.
                process.terminate()
                process.wait()
                raise
        if status:
            raise InputError(
                f"table {name}: {verb} {' '.join(overrides)} ended with status {status}; run it again"
            )
        write()

    if options.get("report", "false") != "true":
        # A signal that only ended this process would leave the run behind, to be resumed twice.
        before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        try:
            fill(table, output, start, further)
        finally:
            signal.signal(signal.SIGTERM, before)
    print(write())
    print(f"written to {page}")
    return 0
