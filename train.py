"""Train a model: `python train.py loss=icnn data=miniimagenet`; `--help` shows the keys."""

from __future__ import annotations

from fewshot.cli.commands.train import console

if __name__ == "__main__":
    console()
