"""List every part there is to choose: losses, backbones, data sets, samplers and the rest.

    python -m fewshot list               every group with its choices
    python -m fewshot list loss          the choices of one, each with its first line (its paper)
    python -m fewshot list experiment    published settings; also table and sweep

A choice is typed GROUP=CHOICE after train.py or eval.py; `python -m fewshot show GROUP/CHOICE` has its
options.
"""

from __future__ import annotations

from collections.abc import Sequence

from fewshot.cli.conf_folder import ConfFolder
from fewshot.cli.help import columns
from fewshot.cli.listing import chosen_by_default, kinds, refuse_unknown
from fewshot.errors import InputError


def run(words: Sequence[str]) -> int:
    """Print the list; returns the exit status."""
    conf = ConfFolder.found()
    if len(words) > 1:
        raise InputError(f"list {words[1]}: takes one group, or none")
    if not words:
        rows = [(group, "  ".join(conf.choices(group))) for group in kinds(conf)]
        print(columns(rows))
        print("\npython -m fewshot list GROUP says what each is; show GROUP/CHOICE has its options")
        return 0
    group = words[0]
    refuse_unknown(conf, group, "list")
    defaults = chosen_by_default(conf, group)
    rows = [
        (f"[{name}]" if name in defaults else name, conf.about(f"{group}/{name}"))
        for name in conf.choices(group)
    ]
    print(columns(rows))
    if defaults:
        print(f"\n[in brackets] where nothing is typed; python -m fewshot show {group}/NAME has the options")
    return 0
