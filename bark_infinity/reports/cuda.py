"""The report about CUDA: versions, settings and memory, and what to do if it cannot be used."""

from __future__ import annotations

import os
import re
import shutil
import sys

from rich.console import Group, RenderableType
from rich.text import Text

from .hardware import device_count, output_of
from .tables import UNKNOWN, facts_table, known, never_fails, size, table


@never_fails
def cuda_report() -> RenderableType:
    """Versions, settings and memory of CUDA, and what to do if it cannot be used."""
    import torch

    smi = known(lambda: output_of("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"))
    driver = re.match(r"\d[\d.]+", smi)
    built = {"CUDA": torch.version.cuda, "ROCm": torch.version.hip}
    facts = {
        "torch": lambda: torch.__version__,
        "built for": lambda: ", ".join(f"{k} {v}" for k, v in built.items() if v) or "the CPU alone",
        "cuDNN": lambda: _cudnn(torch.backends.cudnn.version()),
        "NVIDIA driver": lambda: driver[0] if driver else f"{UNKNOWN}: {_why_no_driver()}",
        "can be used": torch.cuda.is_available,
        "GPUs": lambda: device_count(torch.cuda),
        "CUDA_VISIBLE_DEVICES": lambda: os.environ.get("CUDA_VISIBLE_DEVICES", "not set"),
        "float32 products": torch.get_float32_matmul_precision,
        "TF32 for products": lambda: torch.backends.cuda.matmul.allow_tf32,
        "TF32 for cuDNN": lambda: torch.backends.cudnn.allow_tf32,
    }
    if not device_count(torch.cuda):
        return Group(facts_table("CUDA", facts), Text(cuda_mend(bool(driver), smi)))
    facts["compiled for"] = lambda: ", ".join(torch.cuda.get_arch_list())
    columns = ("GPU", "name", "processors", "memory", "allocated", "reserved")
    rows = map(_cuda_device, range(device_count(torch.cuda)))
    return Group(facts_table("CUDA", facts), table("CUDA devices", columns, rows, numbers=columns[2:]))


def _cuda_device(i: int) -> tuple[str, ...]:
    """A row of the table: index, name, multiprocessors, total memory, memory held by tensors, memory held by torch."""
    import torch

    return (
        str(i),
        known(lambda: torch.cuda.get_device_properties(i).name),
        known(lambda: torch.cuda.get_device_properties(i).multi_processor_count),
        known(lambda: size(torch.cuda.get_device_properties(i).total_memory)),
        known(lambda: size(torch.cuda.memory_allocated(i))),
        known(lambda: size(torch.cuda.memory_reserved(i))),
    )


def _why_no_driver() -> str:
    """Why nvidia-smi gives no driver version."""
    return "nvidia-smi does not answer" if shutil.which("nvidia-smi") else "no nvidia-smi on the PATH"


def _cudnn(version: int | None) -> str:
    """The version of cuDNN from its number: 91002 -> 9.10.2; before cuDNN 9, 8902 -> 8.9.2."""
    if version is None:
        return "not in this torch"
    major, rest = divmod(version, 10_000 if version >= 90_000 else 1_000)
    return f"{major}.{rest // 100}.{rest % 100}"


def cuda_mend(driver: bool, smi: str) -> str:
    """A sentence about why torch cannot use CUDA and what to do. `smi`: the output of nvidia-smi."""
    import torch

    if sys.platform == "darwin":
        return "macOS has no CUDA; Apple's GPU is used through MPS (--device mps)."
    if torch.version.hip:
        return (
            "torch is built for ROCm and sees no AMD GPU: it needs the amdgpu driver and a user who may open /dev/kfd."
        )
    if torch.version.cuda is None:
        mend = "install one built for CUDA as pytorch.org/get-started says"
        if driver:
            return f"There is an NVIDIA driver, but this torch is built for the CPU alone: {mend}."
        return f"This torch is built for the CPU alone, and no NVIDIA driver answers; with an NVIDIA GPU, {mend}."
    if "No devices" in smi:
        return "The NVIDIA driver finds no GPU: see that the card is seated, powered and given to this machine."
    if not driver:
        return "No NVIDIA driver answers (nvidia-smi): install the one for your GPU from nvidia.com/drivers."
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return "CUDA_VISIBLE_DEVICES may hide the GPU from torch: unset it."
    return f"The NVIDIA driver is there, but torch cannot use it: install one that is new enough for CUDA {torch.version.cuda}."
