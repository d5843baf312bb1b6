"""Measure where the time of a training step goes.

    python -m fewshot profile [profile_steps=30] [profile_json=true] KEY=VALUE ...

KEY=VALUE are those of train.py (recipe=few_shot or retrieval). The same parts run through the same loop
for a few steps, without validation and trackers, and nothing is kept:

    python -m fewshot profile                                        the default job
    python -m fewshot profile data=miniimagenet augment=crop_flip    another data set and augmentation
    python -m fewshot profile threads=1 precision=float32            another machine setting: is it worth it?
    python -m fewshot profile recipe=retrieval mixup=feature         what mixing costs
    python -m fewshot profile device=cuda sampler.episodes=8         more episodes a step
    python -m fewshot profile profile_steps=100                      more steps (the median over them; 30)
    python -m fewshot profile profile_json=true                      one line of JSON instead of the table

The table gives each phase in ms and as a share, images and episodes a second, and how near the network
comes to a product of matrices and to a copy, both measured here in the run's precision and threads. With
little time outside the network, a faster step needs another precision, device or backbone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from fewshot.cli.arguments import literal, parse
from fewshot.cli.commands.train import PROGRAM
from fewshot.cli.launch import main
from fewshot.errors import InputError

if TYPE_CHECKING:
    from omegaconf import DictConfig

STEPS = 30


def run(words: Sequence[str]) -> int:
    """Profile a run; returns the exit status."""
    own = {"profile_steps": str(STEPS), "profile_json": "false"}
    further = []
    for word in words:
        key, equals, value = word.partition("=")
        if key in own and equals:
            own[key] = value
        elif key.startswith("profile"):
            raise InputError(f"{word}: profile's own options are {', '.join(own)}, each as KEY=VALUE")
        else:
            further.append(word)
    steps, as_json = literal(own["profile_steps"]), literal(own["profile_json"])
    if not isinstance(steps, int) or steps < 1:
        raise InputError(f"profile_steps={own['profile_steps']} must be a whole number, at least 1")
    if not isinstance(as_json, bool):
        raise InputError(f"profile_json={own['profile_json']} must be true or false")
    arguments = parse(further)
    if arguments.flag("--multirun", "-m") is not None:
        raise InputError("profile measures one run at a time: leave -m out")
    if any(override.key == "resume" for override in arguments.overrides):
        raise InputError("profile begins anew: leave resume out, or start from a run's weights with init=RUN")

    def measure(config: DictConfig) -> None:
        from fewshot.recipes.profile import profile

        found = profile(config, steps)
        print(json.dumps(found.numbers()) if as_json else found.table())

    return main(replace(PROGRAM, instead=measure), further)
