"""Write a trained model as files for others: safetensors with a card, torch.export, ONNX.

    python -m fewshot export run=runs/RUN to=DIR
    python -m fewshot export run=runs/RUN to=DIR formats=[safetensors,torch,onnx]

DIR is new and gets model.safetensors and model.json, the card: how to build the network, how images are
read (size, crop, mean, std), what it was trained on and chosen by, sums. `torch` (there if formats is left
out) adds model.pt2, which torch.export.load opens without this package, `onnx` model.onnx. Both take uint8
images [n, channels, height, width], any n, and give what evaluation sees. Every file is held against the
model; if one computes something else, nothing is written.
`python predict.py model=DIR`, `python eval.py run=DIR data=NAME` and `python train.py init=DIR` take such a
folder.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from fewshot.cli.arguments import split_at_commas
from fewshot.cli.own_options import own_options
from fewshot.errors import InputError

_OPTIONS = ("run", "to", "formats")


def run(words: Sequence[str]) -> int:
    """Export; returns the exit status."""
    rest, options = own_options("export", words, _OPTIONS)
    if rest:
        raise InputError(f"export: '{rest[0]}' is not run=RUN, to=DIR or formats=[...]")
    for key in ("run", "to"):
        if key not in options:
            wanted = "RUN" if key == "run" else "DIR"
            raise InputError(f"export: needs {key}={wanted}; --help shows an example")
    formats = split_at_commas(options.get("formats", "safetensors,torch").strip("[]"))
    from fewshot.recipes.export import export

    export(Path(os.path.expanduser(options["run"])), Path(os.path.expanduser(options["to"])), formats)
    return 0
