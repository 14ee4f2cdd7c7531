"""Devices: resolves `auto`, and moves offloaded models to the GPU while they are used; the processor, its memory and cores."""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from ..errors import UsageError
from .containers import memory_limit, processor_limit

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "int8": torch.int8}


@dataclass(frozen=True)
class Placement:
    """Device and type of one stage. With `offload` its weights rest on the CPU between batches."""

    device: torch.device
    dtype: torch.dtype
    offload: bool = False

    @property
    def resting(self) -> torch.device:
        return torch.device("cpu") if self.offload else self.device


class Movable(Protocol):
    def to(self, device: torch.device) -> object: ...


def choose_device(name: str, enable_mps: bool | None = None) -> torch.device:
    """`auto`: CUDA, else Apple's GPU unless `enable_mps` is false, else the CPU. Raises UsageError for what is not there."""
    mps = torch.backends.mps.is_available() and enable_mps is not False
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if mps else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            "--device cuda: this torch sees no CUDA GPU; install a CUDA build of torch or use --device cpu"
        )
    if name == "mps" and not mps:
        raise UsageError("--device mps: Apple's GPU is absent or switched off by --global_enable_mps; use --device cpu")
    return torch.device(name)


def directml_device() -> torch.device:
    """Microsoft's DirectML, for GPUs on Windows. Raises UsageError where torch-directml is not installed."""
    try:
        import torch_directml
    except ImportError:
        raise UsageError(
            "--suno_use_directml needs the package torch-directml, which is not installed; "
            "install it (pip install torch-directml) or leave the flag out"
        ) from None
    return torch_directml.device()


def native_type() -> torch.dtype:
    """bfloat16 where this CPU multiplies it (AMX, AVX512-BF16), else float32."""
    cpu = cpu_capabilities()
    return torch.bfloat16 if cpu.get("amxbf16") or cpu.get("avx512bf16") else torch.float32


def cpu_capabilities() -> Mapping[str, object]:
    """What torch knows of the processor, or Linux where torch is too old to; names without `_`. Empty if neither knows."""
    try:
        found = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else _linux_capabilities()
    except Exception:  # unknown processors and systems fail in many ways, and nothing depends on this
        return {}
    return {name.replace("_", ""): value for name, value in found.items()}


def _linux_capabilities() -> dict[str, object]:
    """The same from the kernel's files, with available instruction sets only. Raises OSError on other systems."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    info = dict(re.split(r"\s*:\s*", line, maxsplit=1) for line in lines if ":" in line)  # of the last core
    found: dict[str, object] = dict.fromkeys(info.get("flags", info.get("Features", "")).split(), True)
    siblings = Path("/sys/devices/system/cpu").glob("cpu*/topology/thread_siblings_list")
    if cores := {path.read_text(encoding="ascii") for path in siblings}:
        found["num_physical_cores"] = len(cores)
    if "model name" in info:
        found["cpu_name"] = info["model name"]
    return found


@contextlib.contextmanager
def on_device(model: Movable, placement: Placement) -> Iterator[None]:
    """Keep an offloaded model on its device for the length of a block, and move it back to the CPU afterwards."""
    if not placement.offload:
        yield
        return
    model.to(placement.device)
    try:
        yield
    finally:
        model.to(placement.resting)


def is_out_of_memory(error: RuntimeError) -> bool:
    """True when torch ran out of memory; on the CPU only the message shows it."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def free_memory(device: torch.device) -> int:
    """Bytes that can still be taken on `device`; a cautious 4 GiB where the system does not say, as for MPS."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    with contextlib.suppress(OSError, ValueError, KeyError):
        return linux_memory()[1]
    return 4 * 2**30


def linux_memory(root: Path = Path("/")) -> tuple[int, int]:
    """Bytes of memory, and those that are free, within a container's limits. Raises OSError on other systems."""
    with open(root / "proc/meminfo", encoding="ascii") as lines:
        info = dict(line.split(":") for line in lines)
    total, free = (int(info[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    granted, granted_free = memory_limit(root)
    return int(min(total, granted)), int(min(free, granted_free))


def return_free_memory() -> None:
    """Give memory that was freed back to the system, where the C library is glibc.

    It keeps what lies between blocks that are still used. After layers of a large model are packed one by one, that is half a
    gigabyte of temporary copies.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def use_physical_cores() -> None:
    """Give torch a thread for each physical core this process may use, unless OMP_NUM_THREADS says otherwise.

    Threads that share a core share its multipliers, and threads beyond a container's quota wait for each other.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        granted = min(processor_limit(), torch.get_num_threads(), _physical_cores())
        torch.set_num_threads(max(1, math.ceil(granted)))


def _physical_cores(root: Path = Path("/sys/devices/system/cpu")) -> int:
    """Physical cores that this process may run on; all logical processors where the system does not say."""
    try:
        usable = os.sched_getaffinity(0)
        return len({(root / f"cpu{cpu}/topology/thread_siblings_list").read_text() for cpu in usable})
    except (AttributeError, OSError):
        return os.cpu_count() or 1
