"""Times how long a program takes to answer: `train.py --help`, and a mistake in the command.

    python benchmarks/startup.py [--rounds 15]

Each answer is a new process; times are of the wall clock, median and longest: what a person waits. The bar is
0.6 s. `import torch` stands beside it: what an answer would cost that imports it.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
BAR = 0.6
ANSWERS = {
    "train.py --help": ["train.py", "--help"],
    "train.py losss=icnn": ["train.py", "losss=icnn"],
    "fewshot profile --help": ["-m", "fewshot", "profile", "--help"],
    "import torch": ["-c", "import torch"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="one round: does it run?")
    arguments = parser.parse_args()
    # The first round reads the files from disk and is left out.
    rounds, first = (1, 0) if arguments.quick else (arguments.rounds + 1, 1)
    spent: dict[str, list[float]] = {name: [] for name in ANSWERS}
    for _ in range(rounds):
        for name, words in ANSWERS.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, *words], cwd=CHECKOUT, capture_output=True, check=False)
            spent[name].append(time.perf_counter() - began)
    print(f"Python {platform.python_version()}, {platform.machine()}, {datetime.date.today()}\n")
    print(f"{'':24}{'median, s':>10}{'longest':>10}")
    for name, seconds in spent.items():
        print(f"{name:24}{statistics.median(seconds[first:]):10.2f}{max(seconds[first:]):10.2f}")
    print(f"\nbar: {BAR} s for an answer of our own")


if __name__ == "__main__":
    main()
