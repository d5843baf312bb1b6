"""A process that starts trainings and kills each before a step: `python kill_runs.py` reads jobs as JSON.

A job is [words of train.py, step]. Each runs in a fork of this process, which has imported everything and
computed nothing, so that many killed runs cost one import.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import hydra  # noqa: F401
import torch._dynamo  # noqa: F401 - what an optimizer loads

import fewshot.recipes.continual  # noqa: F401
from fewshot.cli.commands import train
from fewshot.continual.stream import StreamFeed
from fewshot.sampling.feed import Batch


def killed(words: list[str], step: int) -> int:
    """The signal that ended the training."""
    child = os.fork()
    if child == 0:
        draw = StreamFeed.__call__

        def killing(feed: StreamFeed, number: int) -> Batch:
            if number == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return draw(feed, number)

        StreamFeed.__call__ = killing  # type: ignore[method-assign]
        os._exit(train.run(words))
    return os.WTERMSIG(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    print(json.dumps([killed(words, step) for words, step in json.load(sys.stdin)]))
