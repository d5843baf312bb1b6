"""Which of a run's processes this one is, as torchrun, SLURM or submitit says; without importing torch."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from fewshot.errors import InputError


@dataclass(frozen=True)
class Launched:
    """How this process was started.

    Attributes:
        rank: its number among the processes of the run; 0 alone writes.
        count: of these processes.
        local_rank: its number among those of its machine.
        address, port: where rank 0 is met.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    address: str = "127.0.0.1"
    port: int = 0


def launched(environment: Mapping[str, str] = os.environ) -> Launched:
    """What the environment says: torchrun's variables, else submitit's, else those of SLURM's srun.

    Without any of them the process is the only one. A batch script's own shell is one process, whatever
    --ntasks says: only srun starts several, and only it tells SLURM_STEP_NUM_TASKS.

    Raises:
        InputError: a variable that is needed is missing or no number.
    """
    if "RANK" in environment and "WORLD_SIZE" in environment:
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
        host, job = "127.0.0.1", "29500"
    elif "SUBMITIT_LOCAL_NTASKS" in environment:
        names = ("SUBMITIT_LOCAL_GLOBALID", "SUBMITIT_LOCAL_NTASKS", "SUBMITIT_LOCAL_LOCALID")
        host, job = "127.0.0.1", environment.get("SUBMITIT_LOCAL_JOB_ID", "0")
    elif "SLURM_PROCID" in environment and "SLURM_STEP_NUM_TASKS" in environment:
        names = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID")
        nodes = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_JOB_NODELIST", "127.0.0.1")
        host, job = first_host(nodes), environment.get("SLURM_JOB_ID", "0")
    else:
        return Launched()
    rank, count, local_rank = (_number(environment, name) for name in names)
    if count == 1:
        return Launched()
    # Processes that know only their job agree on a port by its number.
    port = 20000 + int(re.sub(r"\D", "", job) or 0) % 40000
    port = _number(environment, "MASTER_PORT") if "MASTER_PORT" in environment else port
    return Launched(rank, count, local_rank, environment.get("MASTER_ADDR", host), port)


def first_host(nodes: str) -> str:
    """The first name of SLURM's list of nodes: "gpu[03-05,9],cpu1" begins with gpu03."""
    match = re.match(r"([^,\[]+)(?:\[([^\],-]+)[^\]]*\]([^,]*))?", nodes)
    return "".join(part or "" for part in match.groups()) if match else nodes


def _number(environment: Mapping[str, str], name: str) -> int:
    try:
        return int(environment[name])
    except (KeyError, ValueError):
        told = environment.get(name, "nothing")
        raise InputError(
            f"{name}={told} in the environment is no number: start several processes with torchrun or srun, "
            "or unset it"
        ) from None
