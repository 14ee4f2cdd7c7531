"""The report about devices: those that torch can use, the processor, and what `--device auto --dtype auto` chooses."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Group, RenderableType
from rich.text import Text

from .tables import UNKNOWN, facts_table, known, never_fails, size, table

if TYPE_CHECKING:
    from ..model.choices import Choices

_TIMEOUT_S = 5  # for other programs; nvidia-smi hangs if the driver is broken
_INSTRUCTION_SETS = {  # name in torch and Linux, without `_`: name shown
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512bf16": "AVX-512 bf16",
    "amxbf16": "AMX bf16",
    "neon": "NEON",
    "asimd": "NEON",
    "bf16": "bf16",
    "sve": "SVE",
}
_LARGE_WIDTH = 1024  # channels of the large model
_BFLOAT16_SETS = ("avx512bf16", "amxbf16", "bf16")


@never_fails
def gpu_report() -> RenderableType:
    """All devices of torch, the processor, and what `--device auto --dtype auto` chooses here."""
    import torch

    from ..model.devices import cpu_capabilities

    columns = ("device", "name", "memory", "free", "capability", "bfloat16")
    devices = table("devices that torch can use", columns, _devices(), numbers=("memory", "free"))
    cpu = cpu_capabilities()
    facts = {
        "cores": lambda: f"{cpu.get('numphysicalcores', UNKNOWN)} physical, {os.cpu_count()} logical",
        "threads torch uses": torch.get_num_threads,
        "instruction sets": lambda: ", ".join(
            f"{name} {'yes' if cpu[key] else 'no'}" for key, name in _INSTRUCTION_SETS.items() if key in cpu
        ),
    }
    return Group(devices, facts_table("processor", facts), Text(known(_automatic)))


class _Device(NamedTuple):
    """A row of the table of devices."""

    device: str
    name: str
    memory: str
    free: str
    capability: str
    bfloat16: str


def _devices() -> Iterator[_Device]:
    import torch

    from ..model.devices import cpu_capabilities

    for kind in ("cuda", "xpu"):
        for i in range(device_count(getattr(torch, kind))):
            yield _gpu(kind, i)
    cpu = cpu_capabilities()
    if known(torch.backends.mps.is_available) == "yes":
        limit, taken = torch.mps.recommended_max_memory, torch.mps.driver_allocated_memory
        yield _Device(
            "mps",
            f"GPU of {_cpu_name(cpu)}",
            known(lambda: size(limit())),
            known(lambda: size(limit() - taken())),
            "Metal",
            known(lambda: _multiplies_bfloat16("mps")),
        )
    yield _Device(
        "cpu",
        _cpu_name(cpu),
        known(lambda: size(memory()[0])),
        known(lambda: size(memory()[1])),
        known(torch.backends.cpu.get_cpu_capability),
        ("yes" if any(cpu.get(name) for name in _BFLOAT16_SETS) else "emulated") if cpu else UNKNOWN,
    )


def device_count(api: ModuleType) -> int:
    """How many devices `torch.cuda` or `torch.xpu` can use."""
    number = known(lambda: api.device_count() if api.is_available() else 0)
    return int(number) if number.isdecimal() else 0


def _multiplies_bfloat16(device: str) -> bool:
    """Whether a small matrix product in bfloat16 is right."""
    import torch

    ones = torch.ones(2, 2, dtype=torch.bfloat16, device=device)
    return bool((ones @ ones == 2).all())


def _gpu(kind: str, i: int) -> _Device:
    """A GPU of CUDA, ROCm or XPU."""
    import torch

    api = getattr(torch, kind)
    hip = kind == "cuda" and torch.version.hip is not None

    def capability() -> str:
        if hip:
            return api.get_device_properties(i).gcnArchName
        return "{}.{}".format(*api.get_device_capability(i)) if kind == "cuda" else "XPU"

    def bfloat16() -> str:
        if kind == "cuda":  # native from Ampere on; older GPUs emulate it
            return "yes" if hip or api.get_device_capability(i)[0] >= 8 else "emulated"
        return known(lambda: _multiplies_bfloat16(f"{kind}:{i}"))

    return _Device(
        f"{kind}:{i}{' (ROCm)' if hip else ''}",
        known(lambda: api.get_device_name(i)),
        known(lambda: size(api.get_device_properties(i).total_memory)),
        known(lambda: size(api.mem_get_info(i)[0])),
        known(capability),
        known(bfloat16),
    )


def _automatic() -> str:
    """A sentence about what `auto` chooses here, and why."""
    import torch

    from ..model.choices import Choices, choose_dtype
    from ..model.devices import choose_device

    device, choices = choose_device("auto"), Choices.of_this_machine()
    dtype = choose_dtype("auto", device, _LARGE_WIDTH, choices)
    if device.type == "mps":
        why = "torch sees Apple's GPU, which gets float32 by itself"
    elif device.type == "cuda":
        fast = "computes" if dtype == torch.bfloat16 else "does not compute"
        why = f"torch sees a CUDA GPU, which {fast} in bfloat16"
    else:
        why = f"torch sees no GPU that Bark can use; measured: {_measured(choices)}"
    return f"--device auto --dtype auto computes on {device} in {str(dtype).removeprefix('torch.')}: {why}."


def _measured(choices: Choices) -> str:
    """Times of a layer's products in a segment, by type."""
    from ..model.choices import fastest_products

    times = fastest_products(_LARGE_WIDTH, choices).milliseconds
    return (
        "a layer of the large model takes "
        + ", ".join(f"{ms:,.0f} ms in {name}" for name, ms in times.items())
        + (" for a segment's products")
    )


def _cpu_name(cpu: Mapping[str, object]) -> str:
    return str(cpu.get("cpuname") or platform.processor() or platform.machine() or UNKNOWN)


def memory() -> tuple[int, int]:
    """Total and free memory in bytes. Raises OSError and others if the system does not tell."""
    if sys.platform == "win32":
        import ctypes

        status = (ctypes.c_uint64 * 8)(64)  # MEMORYSTATUSEX: length and load, total, available, ...
        if not ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
            raise ctypes.WinError()
        return status[1], status[2]
    if sys.platform == "darwin":
        pages = re.findall(r"Pages (?:free|inactive|speculative):\s+(\d+)", output_of("vm_stat"))
        page = os.sysconf("SC_PAGE_SIZE")
        return os.sysconf("SC_PHYS_PAGES") * page, sum(map(int, pages)) * page
    from ..model.devices import linux_memory

    return linux_memory()


def output_of(*command: str) -> str:
    """The standard output of a program. Raises OSError or subprocess.TimeoutExpired."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT_S, encoding="utf-8", errors="replace"
    )
    return done.stdout
