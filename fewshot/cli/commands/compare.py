"""Compare runs on the same episodes: paired differences with intervals, wins and losses.

    python -m fewshot compare RUN_A RUN_B ...                    the evaluation that all of them have
    python -m fewshot compare RUN_A RUN_B on=5w1s                of several, the one with that in its name
    python -m fewshot compare runs/icnn/* runs/proto/*           runs that differ in the seed are one method
    python -m fewshot compare RUN/eval/A RUN/eval/B              two results, such as two classifiers
    python -m fewshot compare RUN_A RUN_B markdown=table.md latex=table.tex

RUN is a folder that train.py made and eval.py measured (runs/RUN), or a folder of one result
(runs/RUN/eval/SETTING). Every other method is compared with the first. A difference is taken episode by
episode (query by query, task by task), and only between results on the same episodes of the same images. With
several training seeds its interval is Student's t over the seeds; with one it is over the episodes, and says
nothing of how another training would end.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fewshot.cli.own_options import own_options


def run(words: Sequence[str]) -> int:
    """Print the comparison; returns the exit status."""
    named, options = own_options("compare", words, ("on", "markdown", "latex"))
    from fewshot.cli.conf_folder import ConfFolder
    from fewshot.cli.page import write_page
    from fewshot.recipes.comparison import compare, methods_of
    from fewshot.recipes.comparison_page import latex, markdown

    methods = methods_of([Path(name) for name in named], options.get("on"), ConfFolder.found().load)
    figures = compare(methods)
    page = markdown(methods, figures)
    print(page, end="")
    for key, text in (("markdown", page), ("latex", latex(methods, figures))):
        if key in options:
            write_page("compare", key, options[key], text)
    return 0
