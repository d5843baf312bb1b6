"""The machine a run computes on, and the allocator's levers."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest
import torch

from fewshot.errors import InputError
from fewshot.training import device as module
from fewshot.training.device import Machine, keep_memory, native_bf16, set_up

GLIBC = sys.platform.startswith("linux") and platform.libc_ver()[0] == "glibc"

FAULTS = """
import resource, sys, torch
from fewshot.training.device import keep_memory
torch.set_num_threads(1)
if sys.argv[1] == "keep":
    assert keep_memory()
def use():
    torch.empty(40 << 20, dtype=torch.uint8).fill_(1)
# The first few leave small gaps behind, which are then filled.
for _ in range(10):
    use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(mode: str) -> int:
    """Of using and freeing 40 MiB, more than glibc keeps by itself, four times in a process of its own."""
    done = subprocess.run([sys.executable, "-c", FAULTS, mode], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not GLIBC, reason="mallopt is glibc's")
def test_kept_memory_is_not_faulted_in_again() -> None:
    plain = page_faults("plain")
    # A kernel that reclaims idle pages may take some back in between: one clean run of three shows the lever.
    kept = next((n for n in (page_faults("keep") for _ in range(3)) if n < 100), None)
    assert kept is not None
    assert plain > 10 * max(kept, 1), (plain, kept)


@pytest.mark.parametrize(
    "platform_name,libc", [("darwin", "glibc"), ("win32", ""), ("linux", "musl"), ("linux", "")]
)
def test_elsewhere_it_does_nothing(monkeypatch: pytest.MonkeyPatch, platform_name: str, libc: str) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("no library may be opened")

    monkeypatch.setattr(module.sys, "platform", platform_name)
    monkeypatch.setattr(module.platform, "libc_ver", lambda: (libc, ""))
    monkeypatch.setattr(module.ctypes, "CDLL", refuse)
    assert keep_memory() is False


@pytest.mark.parametrize("refused", [-4, -1, -2])
@pytest.mark.skipif(not GLIBC, reason="mallopt is glibc's")
def test_a_refused_setting_is_told(monkeypatch: pytest.MonkeyPatch, refused: int) -> None:
    class Library:
        def __init__(self, _: None) -> None: ...

        def mallopt(self, name: int, value: int) -> int:
            return int(name != refused)

    monkeypatch.setattr(module.ctypes, "CDLL", Library)
    assert keep_memory() is False


@pytest.mark.parametrize(
    "arguments,message",
    [
        (("tpu9", "float32", None), "device='tpu9'"),
        (("meta", "float32", None), "device=meta"),
        (("cuda:99", "float32", None), "device=cuda:99"),
        (("cpu", "half", None), "precision='half'"),
        (("cpu", "float32", 0), "threads=0"),
        (("cpu", "float32", -2), "threads=-2"),
    ],
)
def test_a_mistake_is_one_line(arguments: tuple[str, str, int | None], message: str) -> None:
    threads = torch.get_num_threads()
    with pytest.raises(InputError) as caught:
        set_up(*arguments)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("precision", ["auto", "float32", "bf16"])
def test_auto_takes_bf16_where_it_is_native(
    monkeypatch: pytest.MonkeyPatch, native: bool, precision: str
) -> None:
    monkeypatch.setattr(module, "native_bf16", lambda _: native)
    expected = {"auto": "bf16" if native else "float32"}.get(precision, precision)
    assert set_up("cpu", precision, None).precision == expected


@pytest.mark.parametrize("avx512,amx", [(False, False), (True, False), (False, True)])
def test_bf16_is_native_with_avx512_or_amx(monkeypatch: pytest.MonkeyPatch, avx512: bool, amx: bool) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert native_bf16(torch.device("cpu")) is (avx512 or amx)


@pytest.mark.parametrize("capability,native", [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_bf16_is_native_from_ampere_on(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], native: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert native_bf16(torch.device("cuda")) is native


@pytest.mark.parametrize("there,expected", [(True, "cuda"), (False, "cpu")])
def test_auto_takes_cuda_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, there: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert set_up("auto", "float32", None).device.type == expected


def test_a_missing_cuda_device_counts_those_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert set_up("cuda:1", "float32", None).device == torch.device("cuda", 1)
    with pytest.raises(InputError, match="has 2 CUDA devices"):
        set_up("cuda:2", "float32", None)


def test_threads_are_set_and_told() -> None:
    before = torch.get_num_threads()
    try:
        machine = set_up("cpu", "float32", 1)
        assert machine.threads == torch.get_num_threads() == 1
        described = machine.describe()
        assert described["threads"] == 1 and described["precision"] == "float32"
        assert described["torch"] == torch.__version__ and described["device"]
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("precision,dtype", [("float32", torch.float32), ("bf16", torch.bfloat16)])
def test_autocast_follows_the_precision(precision: str, dtype: torch.dtype) -> None:
    machine = set_up("cpu", precision, None)
    assert isinstance(machine, Machine)
    with machine.autocast():
        made = torch.ones(2, 3) @ torch.ones(3, 2)
    assert made.dtype == dtype
