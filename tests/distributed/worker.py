"""One of several processes: `torchrun worker.py FOLDER JOBS` does the shared work, and then the jobs.

What each process got of the work is saved in FOLDER. JOBS is a list, as JSON, of [train or eval, words];
their statuses are printed at the end. One start of the processes serves all tests.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from shared_work import agreement, everything

from fewshot.cli.commands import eval as eval_
from fewshot.cli.commands import train
from fewshot.distributed import join

if __name__ == "__main__":
    torch.set_num_threads(1)
    processes, folder = join(), Path(sys.argv[1])
    found: dict[str, Any] = dict(everything(processes, folder))
    found["agreement"] = agreement(processes)
    torch.save(found, folder / f"{processes.count}.{processes.rank}.pt")
    run = {"train": train.run, "eval": eval_.run}
    statuses = [run[program](words) for program, words in json.loads(sys.argv[2])]
    print("statuses", json.dumps(statuses), flush=True)
