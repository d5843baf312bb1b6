"""`python -m fewshot VERB ...`: finds the verb's file in `fewshot/cli/commands/` and runs it."""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

import fewshot
from fewshot.cli.failure import exit_status
from fewshot.errors import InputError
from fewshot.suggestion import did_you_mean

_COMMANDS = Path(__file__).parent / "commands"


def main(words: Sequence[str] | None = None) -> int:
    """Run the verb that the words begin with; returns the exit status."""
    return exit_status(lambda: _main(list(sys.argv[1:] if words is None else words)))


def console() -> None:
    """The console script `fewshot`."""
    sys.exit(main())


def verbs() -> tuple[str, ...]:
    """All verbs, sorted."""
    return tuple(sorted(path.stem for path in _COMMANDS.glob("[a-z]*.py")))


def about(verb: str) -> str:
    """The help of a verb: its file's docstring, read without importing the file."""
    source = (_COMMANDS / f"{verb}.py").read_text(encoding="utf-8")
    return ast.get_docstring(ast.parse(source)) or ""


def _main(words: list[str]) -> int:
    if not words or words[0] in ("--help", "-h", "help"):
        print(_help())
        return 0
    verb, *rest = words
    if verb == "--version":
        print(f"fewshot {fewshot.__version__}")
        return 0
    if verb not in verbs():
        known = f"the verbs are {', '.join(verbs())}"
        raise InputError(f"there is no verb '{verb}'; {known}{did_you_mean(verb, verbs())}")
    # These have a longer help of their own, made from conf/.
    if rest and rest[0] in ("--help", "-h") and verb not in ("train", "eval", "predict"):
        print(about(verb))
        return 0
    return int(importlib.import_module(f"fewshot.cli.commands.{verb}").run(rest))


def _help() -> str:
    rows = "\n".join(f"  {verb:<10}{about(verb).splitlines()[0]}" for verb in verbs())
    return (
        f"fewshot {fewshot.__version__}: few-shot and deep metric learning\n\n"
        f"python -m fewshot VERB ...\n\n{rows}\n\n"
        "python -m fewshot VERB --help explains a verb; --version prints the version."
    )
