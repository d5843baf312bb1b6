"""Who started this process, as the environment tells it."""

from __future__ import annotations

import pytest
import torch

from fewshot.errors import InputError
from fewshot.processes import Launched, first_host, launched
from fewshot.training import device

TORCHRUN = {
    "RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "node1", "MASTER_PORT": "1234",
}  # fmt: skip
SLURM = {
    "SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "4", "SLURM_LOCALID": "1",
    "SLURM_STEP_NODELIST": "gpu[07-09]", "SLURM_JOB_ID": "52",
}  # fmt: skip
SUBMITIT = {
    "SUBMITIT_LOCAL_GLOBALID": "3", "SUBMITIT_LOCAL_NTASKS": "4", "SUBMITIT_LOCAL_LOCALID": "1",
    "SUBMITIT_LOCAL_JOB_ID": "52",
}  # fmt: skip


@pytest.mark.parametrize(
    "environment, expected",
    [
        ({}, Launched()),
        (TORCHRUN, Launched(3, 4, 1, "node1", 1234)),
        (TORCHRUN | SLURM, Launched(3, 4, 1, "node1", 1234)),
        (SLURM, Launched(3, 4, 1, "gpu07", 20052)),
        (SLURM | {"MASTER_ADDR": "a", "MASTER_PORT": "9"}, Launched(3, 4, 1, "a", 9)),
        (SUBMITIT, Launched(3, 4, 1, "127.0.0.1", 20052)),
        ({"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}, Launched()),
        # A batch script's own shell: srun has started nothing.
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_LOCALID": "0"}, Launched()),
        (SLURM | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}, Launched()),
    ],
)
def test_environment(environment: dict[str, str], expected: Launched) -> None:
    assert launched(environment) == expected


def test_a_variable_that_is_missing() -> None:
    with pytest.raises(InputError, match="LOCAL_RANK=nothing in the environment is no number"):
        launched({"RANK": "1", "WORLD_SIZE": "2"})


@pytest.mark.parametrize(
    "nodes, first",
    [
        ("node3", "node3"),
        ("a,b", "a"),
        ("gpu[03-05,9],cpu1", "gpu03"),
        ("gpu[7,9]", "gpu7"),
        ("n[1-2]-ib,x", "n1-ib"),
        ("rack-1-n[4]", "rack-1-n4"),
    ],
)
def test_first_host(nodes: str, first: str) -> None:
    assert first_host(nodes) == first


@pytest.mark.parametrize(
    "local_rank, devices, slurm, chosen",
    [(1, 2, False, 1), (0, 1, False, 0), (1, 1, False, None), (3, 1, True, 0)],
)
def test_each_process_has_a_cuda_device_of_its_own(
    local_rank: int, devices: int, slurm: bool, chosen: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "launched", lambda: Launched(local_rank, 4, local_rank))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: devices)
    monkeypatch.delenv("SLURM_LOCALID", raising=False)
    if slurm:
        monkeypatch.setenv("SLURM_LOCALID", str(local_rank))
    if chosen is None:
        with pytest.raises(InputError, match="process 2 of this machine finds 1 CUDA devices"):
            device._own_device()
    else:
        assert device._own_device() == chosen
