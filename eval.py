"""Evaluate a trained model: `python eval.py shots=5 data=cub`; `--help` shows the keys."""

from __future__ import annotations

from fewshot.cli.commands.eval import console

if __name__ == "__main__":
    console()
