"""Show, prepare or verify the data sets.

    python -m fewshot data list                           what is here, what is missing, where to put it
    python -m fewshot data prepare NAME [source=PATH]     pack a data set; download it if its owner allows
    python -m fewshot data verify NAME                    check every byte of a packed set
    python -m fewshot data export NAME to=DIR             some test images as files, to try predict.py on

NAME is a choice of `data=`. After it, KEY=VALUE sets an option of that data set (`size=64`,
`split=lake`), `source=PATH` the folder of its original files, `again=true` packs once more.
Of export, `classes=5 shots=5 queries=10` say how many test classes it writes, drawn by `seed=0`, with how
many images each into DIR/support/CLASS and DIR/query/CLASS.
The root of all data is $FEWSHOT_DATA, or `data` in the working directory.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewshot.cli.arguments import literal, parse
from fewshot.cli.conf_folder import ConfFolder
from fewshot.errors import InputError
from fewshot.suggestion import did_you_mean

if TYPE_CHECKING:
    from fewshot.data.source import Source

_ACTIONS = ("list", "prepare", "verify", "export")
_EXPORT: dict[str, Any] = {"to": None, "classes": 5, "shots": 5, "queries": 10, "seed": 0}


def run(words: Sequence[str]) -> int:
    """Do one of the actions; returns the exit status."""
    if not words or words[0] not in _ACTIONS:
        given = f"data {words[0]}: there is no such action" if words else "data: needs an action"
        near = did_you_mean(words[0], _ACTIONS) if words else ""
        raise InputError(f"{given}; write data list, prepare, verify or export NAME{near}")
    action, *rest = words
    conf = ConfFolder.found()
    if action == "list":
        if rest:
            raise InputError(f"data list {rest[0]}: takes nothing after it")
        return _list(conf)
    if not rest:
        raise InputError(f"data {action}: needs a data set: {', '.join(conf.choices('data'))}")
    name, *settings = rest
    options = _options(conf, name, settings, tuple(_EXPORT) if action == "export" else ("again",))
    again = options.pop("again", False)
    export = {key: options.pop(key, default) for key, default in _EXPORT.items()}
    from fewshot.data import catalogue

    source = _source(conf, name, options)
    if action == "export":
        from fewshot.data.exporting import export_images

        for key, value in export.items():
            if key != "to" and not (type(value) is int and value >= (0 if key == "seed" else 1)):
                raise InputError(f"data export {name}: {key}={value} must be a whole number from 1 on")
        to = export.pop("to")
        if to is None:
            raise InputError(f"data export {name}: needs a folder to write to; write to=DIR")
        print(export_images(source, Path(os.path.expanduser(str(to))), **export))
        return 0
    if action == "verify":
        print(catalogue.verify(source))
    else:
        catalogue.prepare(source, again=bool(again))
        print(catalogue.status(source).line())
    return 0


def _list(conf: ConfFolder) -> int:
    from fewshot.data import catalogue

    print(f"Data sets below {catalogue.root()} (set FEWSHOT_DATA to have them elsewhere)")
    for name in conf.choices("data"):
        try:
            print(catalogue.status(_source(conf, name, {})).line())
        except InputError as error:
            print(f"{name}: {error}")
    return 0


def _options(conf: ConfFolder, name: str, settings: Sequence[str], further: Sequence[str]) -> dict[str, Any]:
    choices = conf.choices("data")
    if name not in choices:
        raise InputError(
            f"there is no data={name}; the choices are {', '.join(choices)}{did_you_mean(name, choices)}"
        )
    known = [*(key for key in conf.load(f"data/{name}") if key != "_target_"), "source", *further]
    options: dict[str, Any] = {}
    for override in parse(settings).overrides:
        if override.text is None:
            raise InputError(f"'{override.word}' is not KEY=VALUE, such as source=PATH")
        if override.key not in known:
            near = did_you_mean(override.key, known)
            raise InputError(f"data={name} has no option '{override.key}'; it has {', '.join(known)}{near}")
        options["path" if override.key == "source" else override.key] = literal(override.text)
    return options


def _source(conf: ConfFolder, name: str, options: dict[str, Any]) -> Source:
    from omegaconf import OmegaConf

    from fewshot.config import instantiate

    # Below the key `data`, so that messages name `data.size` as training does.
    node = OmegaConf.create({"data": {**conf.load(f"data/{name}"), **options}}).data
    source: Source = instantiate(node)
    return source
