"""Put all runs below a folder into one table: what they differ in, validation, evaluations.

    python -m fewshot summary runs/losses                     every run below it, the best validation first
    python -m fewshot summary runs/losses sort=5-shot         sorted by another column (part of its title)
    python -m fewshot summary runs/losses markdown=table.md csv=table.csv

Runs of a sweep come together in a folder of their own:

    python train.py -m loss=icnn,prototypical seed=0,1,2 output_dir=runs/losses

Options are chosen by the validation. A table sorted by a test column shows the luckiest run, not the best.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from fewshot.cli.own_options import own_options
from fewshot.errors import InputError


def run(words: Sequence[str]) -> int:
    """Print the table; returns the exit status."""
    folders, options = own_options("summary", words, ("sort", "markdown", "csv"))
    if len(folders) != 1:
        raise InputError("summary: needs one folder of runs: python -m fewshot summary FOLDER")
    if not Path(folders[0]).is_dir():
        raise InputError(f"summary: there is no folder {folders[0]}")
    from fewshot.cli.page import write_page
    from fewshot.recipes.sweep_summary import csv_rows, markdown, summarise

    summary = summarise(Path(folders[0]), options.get("sort"))
    page = markdown(summary)
    print(page, end="")
    if "markdown" in options:
        write_page("summary", "markdown", options["markdown"], page)
    if "csv" in options:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(csv_rows(summary))
        write_page("summary", "csv", options["csv"], text.getvalue())
    return 0
