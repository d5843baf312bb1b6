"""Times a training from nothing to a published accuracy: ProtoNet's 68.20 (Conv4, miniImageNet, 5-shot).

    python benchmarks/speedrun.py [KEY=VALUE ...] [--rounds 1]

Each round is what a person would type: `python train.py experiment=protonet/miniimagenet_speedrun
seed=ROUND`, then `python eval.py shots=5`, on 10,000 tasks of the test classes with the weights that
validation chose. Words given go on to train.py (`steps=8000`). The time is of the wall clock around the
whole training process: start, opening the packed images, compiling, training, validating. Packing, done
once and before, and the evaluation are timed apart. The bar is 120 s on a GPU.
"""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[1]
EXPERIMENT = "experiment=protonet/miniimagenet_speedrun"
QUICK = [
    "data=glyphs",
    "steps=3",
    "validation.every=0",
    "compile=false",
    "data.residency=ram",
    "sampler.episodes=1",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="KEY=VALUE", help="for train.py")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="a few steps on built-in images: does it run?")
    arguments = parser.parse_args()
    words = [EXPERIMENT, "report=false", *(QUICK if arguments.quick else []), *arguments.words]
    episodes = 20 if arguments.quick else 10_000
    print(f"{datetime.date.today()}  train.py {' '.join(words)}")
    print(f"{'':10}{'train, s':>10}{'eval, s':>10}{'5-shot, %':>18}  bar: 68.20 in 120 s")
    for seed in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as folder:
            spent = timed("train.py", [*words, f"seed={seed}", f"output_dir={folder}"])
            (run,) = (path.parent for path in Path(folder).glob("*/best.pt"))
            evaluating = timed("eval.py", [f"run={run}", "shots=5", f"episodes={episodes}", "report=false"])
            (result,) = run.glob("eval/*/result.json")
            found: dict[str, Any] = json.loads(result.read_text())
        accuracy = f"{100 * found['accuracy']:.2f} +- {100 * found['interval']:.2f}"
        print(f"{f'seed {seed}':10}{spent:10.1f}{evaluating:10.1f}{accuracy:>18}", flush=True)
    print(", ".join(f"{key} {value}" for key, value in found["machine"].items()))


def timed(program: str, words: list[str]) -> float:
    """Wall seconds of a program of this project; it ends this one if it fails."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, str(CHECKOUT / program), *words], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr.strip())
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
