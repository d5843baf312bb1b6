"""train.py, eval.py and predict.py as tests start them, in this process, and what they look at afterwards."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from typing import Any, NamedTuple

import torch

from fewshot.cli.commands import eval as eval_
from fewshot.cli.commands import predict, train


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def program(name: str, *words: str, cwd: Path, check: bool = True) -> Done:
    """Run a program in this process, as its script does; train and eval make no report unless asked."""
    out, err = io.StringIO(), io.StringIO()
    run = {"train.py": train.run, "eval.py": eval_.run, "predict.py": predict.run}[name]
    before = Path.cwd()
    os.chdir(cwd)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            asked = name == "predict.py" or any(word.startswith("report=") for word in words)
            status = run((*words, *([] if asked else ["report=false"])))
    finally:
        os.chdir(before)
    if check:
        assert status == 0, err.getvalue()
    return Done(status, out.getvalue(), err.getvalue())


def only_run(folder: Path) -> Path:
    (run,) = [path for path in folder.iterdir() if path.is_dir()]
    return run


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b) or bool(a.isnan().any() and torch.equal(a.nan_to_num(-1), b.nan_to_num(-1)))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a if k != "seconds")
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)
