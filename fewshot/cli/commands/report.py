"""Write the HTML report of a run, or of several beside each other.

    python -m fewshot report RUN                   RUN/report.html
    python -m fewshot report RUN RUN ...           one page each, and overview.html beside the runs
    python -m fewshot report RUN ... output=DIR    all pages to DIR (where a run's folder is read-only)

RUN is the folder of a run. A page is one file without scripts that needs nothing from the net: what was run,
results with intervals, learning curves, confusion, hardest episodes and nearest neighbours with their
images, a map of the embeddings, calibration, accuracy by task, time and memory. What cannot be shown is
named with the reason. Every training and evaluation writes it at its end (report=false: not).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from fewshot.errors import InputError
from fewshot.suggestion import did_you_mean


def run(words: Sequence[str]) -> int:
    """Write the pages; returns the exit status."""
    folders, output = _arguments(words)
    from fewshot.cli.run_report import write_page, write_report
    from fewshot.report.overview import overview_page

    names = _page_names(folders)
    made = [
        write_report(folder, output / name if output is not None else None)
        for folder, name in zip(folders, names, strict=True)
    ]
    for page, _, _ in made:
        print(f"written {page}")
    if len(made) > 1:
        pages, runs, commands = zip(*made, strict=True)
        common = Path(os.path.commonpath([folder.resolve().parent for folder in folders]))
        at = (output if output is not None else common) / "overview.html"
        write_page(at, overview_page(runs, commands, [page.resolve() for page in pages], at.resolve()))
        print(f"written {at}")
    return 0


def _arguments(words: Sequence[str]) -> tuple[list[Path], Path | None]:
    output: Path | None = None
    folders: list[Path] = []
    for word in words:
        key, equals, value = word.removeprefix("--").partition("=")
        if key == "output" and equals:
            if not value:
                raise InputError("report: output= needs a folder: output=DIR")
            output = Path(value)
        elif word.startswith("-") or (equals and not Path(word).exists() and key.isidentifier()):
            hint = did_you_mean(key, ["output"]) or "; the only option is output=DIR"
            raise InputError(f"report: there is no option {word}{hint}")
        else:
            folders.append(Path(word))
    if not folders:
        raise InputError("report: needs the folder of a run: python -m fewshot report runs/RUN")
    resolved = [folder.resolve() for folder in folders]
    for place, folder in enumerate(resolved):
        if folder in resolved[:place]:
            raise InputError(f"report: {folders[place]} is named twice")
    return folders, output


def _page_names(folders: Sequence[Path]) -> list[str]:
    """`RUN.html` for each; runs in different folders may have one name."""
    names: list[str] = []
    for folder in folders:
        stem = folder.resolve().name or "run"
        name, count = stem, 1
        while f"{name}.html" in (*names, "overview.html"):
            count += 1
            name = f"{stem}_{count}"
        names.append(f"{name}.html")
    return names
