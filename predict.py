"""Label images from a few examples of each class: `python predict.py support=DIR query=DIR`."""

from __future__ import annotations

from fewshot.cli.commands.predict import console

if __name__ == "__main__":
    console()
