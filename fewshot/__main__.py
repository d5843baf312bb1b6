"""`python -m fewshot VERB ...`."""

from __future__ import annotations

from fewshot.cli.verbs import console

if __name__ == "__main__":
    console()
