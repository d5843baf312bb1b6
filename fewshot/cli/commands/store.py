"""Keep a support as prototypes of its classes, to label by later without its images, and add classes to it.

    python -m fewshot store make support=DIR to=STORE run=runs/RUN
    python -m fewshot store add store=STORE support=DIR
    python -m fewshot store show store=STORE
    python predict.py store=STORE query=DIR

`make` takes the words of predict.py that choose the model, the reading and the classifier. STORE is a
folder: store.json (class names, counts, the model's sha256, temperature, threshold) and a safetensors file.
It keeps each image's embedding as well, so that it serves every classifier and labels exactly as the support
does; `embeddings=false` keeps prototypes alone, for the classifiers prototype and cosine, also behind cl2n.
A class that is there already is refused, and so is a model other than the store's.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fewshot.cli.commands.predict import PROGRAM
from fewshot.cli.launch import main
from fewshot.cli.own_options import own_options
from fewshot.errors import InputError
from fewshot.suggestion import did_you_mean

if TYPE_CHECKING:
    from omegaconf import DictConfig

_ACTIONS = {"make": ("to", "embeddings"), "add": ("store",), "show": ("store",)}


def run(words: Sequence[str]) -> int:
    """Do one of the actions; returns the exit status."""
    if not words or words[0] not in _ACTIONS:
        given = f"store {words[0]}: there is no such action" if words else "store: needs an action"
        near = did_you_mean(words[0], list(_ACTIONS)) if words else ""
        raise InputError(f"{given}; write store make, add or show{near}")
    action, *rest = words
    settings, options = own_options(f"store {action}", rest, _ACTIONS[action])
    first = _ACTIONS[action][0]
    if first not in options:
        raise InputError(f"store {action}: needs {first}=DIR; python -m fewshot store --help shows examples")
    folder = Path(os.path.expanduser(options[first]))
    if action == "show":
        if settings:
            raise InputError(f"store show: '{settings[0]}': takes nothing beside store=DIR")
        from fewshot.recipes.storing import show

        print(show(folder))
        return 0
    if options.get("embeddings", "true") not in ("true", "false"):
        raise InputError(f"store make: embeddings={options['embeddings']} must be true or false")

    def act(config: DictConfig) -> None:
        from fewshot.recipes.storing import add, make

        if action == "make":
            make(config, folder, options.get("embeddings", "true") == "true")
        else:
            add(config, folder)

    return main(replace(PROGRAM, instead=act), settings)
