"""What the machine could do at best: memory read and products made, measured, and what each stage needs of both.

A step of a causal stage reads all weights once for all its rows, and every row's keys and values; a prefill or a fine
window multiplies. Whichever takes longer at the measured rates is the floor.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .checkpoints import Size

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "int8": 1}  # a weight
CACHE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "int8": 2}  # a number of the key-value cache, at least
_HEAD_IDS = {"semantic": 10_000, "coarse": 1_024}  # logits that a step needs
_FINE_FRAMES, _FINE_DRAWN, _FINE_CODEBOOKS, _FINE_IDS = 1024, 512, 6, 1024


@dataclass(frozen=True)
class Machine:
    """Where all this ran, and its rates."""

    device: str
    facts: Mapping[str, str]
    bandwidth: float  # bytes read a second
    rates: Mapping[str, float | None]  # operations a second in products, by type; None: torch has none of that type

    def rate(self, dtype: str) -> float:
        """The type's own, or, where torch does not multiply it, that of the fastest other."""
        return self.rates.get(dtype) or max(rate for rate in self.rates.values() if rate)

    def best_of(self, other: Machine) -> Machine:
        """The same machine measured twice: what was slower was disturbed."""
        rates = {dtype: max(rate or 0, other.rates[dtype] or 0) or None for dtype, rate in self.rates.items()}
        return dataclasses.replace(self, bandwidth=max(self.bandwidth, other.bandwidth), rates=rates)


@dataclass(frozen=True)
class Floor:
    """Least seconds that a model of this size, in this type, can take on a machine."""

    machine: Machine
    size: Size
    dtype: str

    @property
    def _block_weights(self) -> int:
        return 12 * self.size.width**2 * self.size.layers

    def step(self, stage: str, rows: int, context: int) -> float:
        """One token more for each row, each reading `context` positions."""
        weights = self._block_weights + _HEAD_IDS[stage] * self.size.width
        numbers = 2 * rows * context * self.size.width * self.size.layers  # keys and values
        n_bytes = weights * BYTES.get(self.dtype, 1) + numbers * CACHE_BYTES.get(self.dtype, 2)
        return self._seconds(n_bytes, rows * 2 * weights + 2 * numbers)

    def prefill(self, stage: str, rows: int, length: int) -> float:
        """`length` positions of each row, every one attending to those before it, and the last one's logits."""
        head = _HEAD_IDS[stage] * self.size.width
        attention = 2 * length**2 * self.size.width * self.size.layers  # half of a full square's 4
        operations = 2 * (self._block_weights * length + head) + attention
        return self._seconds((self._block_weights + head) * BYTES.get(self.dtype, 1), rows * operations)

    def fine(self, rows: int) -> float:
        """A window of each row: the whole model once for each codebook."""
        head = _FINE_IDS * self.size.width
        attention = 4 * _FINE_FRAMES**2 * self.size.width * self.size.layers
        operations = 2 * (self._block_weights * _FINE_FRAMES + head * _FINE_DRAWN) + attention
        n_bytes = (self._block_weights + head) * BYTES.get(self.dtype, 1)
        return _FINE_CODEBOOKS * self._seconds(n_bytes, rows * operations)

    def _seconds(self, n_bytes: float, operations: float) -> float:
        return max(n_bytes / self.machine.bandwidth, operations / self.machine.rate(self.dtype))


# ---- measuring, in a process of its own -----------------------------------------------------------------------------


def measure_machine(device: str, dtypes: Sequence[str], budget_s: float) -> Machine:
    """Rates of the device, each measured for so many seconds, and what else decides them."""
    rates = {dtype: _rate(dtype, device, budget_s) for dtype in dict.fromkeys(("float32", "bfloat16", *dtypes))}
    return Machine(device, _facts(device), read_bandwidth(device, budget_s), rates)


def wait_for(device: str) -> None:
    """Return when the device has done all it was told: calls to a GPU come back earlier than its results."""
    import torch

    if device == "cuda":
        torch.cuda.synchronize()


def read_bandwidth(device: str, budget_s: float) -> float:
    """Bytes read a second, by the faster of two ways over more memory than any cache holds, each measured for so long."""
    import torch

    numbers = torch.ones(2**30 if device == "cuda" else 2**27, device=device)  # more than any cache
    matrix, vector = numbers.view(-1, 1024), torch.ones(1024, device=device)
    ways = (numbers.sum, lambda: matrix @ vector)
    return numbers.nbytes / min(_least_seconds(way, device, budget_s) for way in ways)


def _rate(dtype: str, device: str, budget_s: float) -> float | None:
    """Operations a second of a linear layer as wide as the large model's; None: this torch has none of that type."""
    import torch

    rows, width, outputs = (8192, 4096, 4096) if device == "cuda" else (1024, 1024, 4096)
    rates = []
    for way in (_product, _quantised_product) if dtype == "int8" else (_product,):
        try:
            with torch.inference_mode():
                product = way(dtype, device, rows, width, outputs)
                rates.append(2 * rows * width * outputs / _least_seconds(product, device, budget_s))
        except (RuntimeError, AttributeError, NotImplementedError):
            continue
    return max(rates, default=None)


def _quantised_product(_: str, device: str, rows: int, width: int, outputs: int) -> Callable[[], object]:
    """oneDNN's, of 8-bit inputs: without VNNI it is much faster than `_int_mm`."""
    import torch

    x = torch.ones(rows, width, dtype=torch.uint8, device=device)
    packed = torch.ops.onednn.qlinear_prepack(torch.ones(outputs, width, dtype=torch.int8, device=device), None)
    scale, zeros = torch.ones(outputs), torch.zeros(outputs, dtype=torch.int32)
    multiply = torch.ops.onednn.qlinear_pointwise
    return lambda: multiply(x, 1.0, 0, packed, scale, zeros, None, 1.0, 0, torch.float32, "none", [], "")


def _product(dtype: str, device: str, rows: int, width: int, outputs: int) -> Callable[[], object]:
    import torch
    import torch.nn.functional as F

    kind = getattr(torch, dtype)
    x = torch.ones(rows, width, dtype=kind, device=device)
    weight = torch.ones(outputs, width, dtype=kind, device=device)
    if dtype == "int8":
        return lambda: torch._int_mm(x, weight.t())  # to int32; what scales cost is not in the floor
    return lambda: F.linear(x, weight)


def _least_seconds(work: Callable[[], object], device: str, budget_s: float) -> float:
    """Of the fastest of some repetitions: others are disturbed, and the first one also prepares."""
    least, end = float("inf"), time.perf_counter() + budget_s
    while True:
        wait_for(device)
        start = time.perf_counter()
        work()
        wait_for(device)
        now = time.perf_counter()
        least = min(least, now - start)
        if now >= end:
            return least


def _facts(device: str) -> dict[str, str]:
    import os
    import platform

    import torch
    import transformers

    from bark_infinity import __version__
    from bark_infinity.model.devices import cpu_capabilities
    from bark_infinity.reports.hardware import memory

    cpu = cpu_capabilities()
    sets = ("amxbf16", "amxint8", "avx512bf16", "avx512fp16", "avx512vnni", "avx512f", "avx2", "asimd", "bf16")
    facts = {
        "processor": str(cpu.get("cpuname") or platform.processor() or platform.machine()),
        "instruction sets": ", ".join(name for name in sets if cpu.get(name)) or "unknown",
        "cores": f"{os.cpu_count()} logical; threads of torch: {torch.get_num_threads()}",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "versions": f"bark-infinity {__version__}, torch {torch.__version__}, transformers {transformers.__version__}",
    }
    with contextlib.suppress(Exception):  # a system that does not tell
        facts["memory"] = f"{memory()[0] / 2**30:.1f} GiB"
    if device == "cuda":
        facts["GPU"] = f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"
    return facts
