"""Reports how NumPy and libsndfile were built, and measures matrix products and memory, on which Bark's speed depends."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from .tables import UNKNOWN, facts_table, known, never_fails, table

if TYPE_CHECKING:
    import torch

_SIDE = 1024  # size of the square matrices multiplied on the CPU: the width of Bark's large model
_GPU_SIDE = 4096  # large enough that a GPU takes longer to multiply than to launch the kernel
_FFT_NUMBERS = 2**21
_COPIED_BYTES = 128 * 2**20  # more than the caches of a processor hold
_BUDGET_S = 0.4  # time for the repetitions of one measurement
_WORTHWHILE = 1.2  # least speedup for which bfloat16 is recommended


@never_fails
def numpy_report() -> RenderableType:
    """Versions, the BLAS and LAPACK of NumPy, and the instruction sets that NumPy uses."""
    import numpy as np

    config: Any = np.show_config(mode="dicts")  # NumPy's own type lacks half of the keys

    def library(name: str) -> str:
        built = config["Build Dependencies"][name]
        return f"{built['name']} {built['version']}"

    def simd(kind: str) -> str:
        return ", ".join(config["SIMD Extensions"].get(kind, ())) or "none"

    return facts_table(
        "NumPy and libsndfile",
        {
            "Python": platform.python_version,
            "NumPy": lambda: np.__version__,
            "BLAS": lambda: library("blas"),
            "BLAS was built as": lambda: config["Build Dependencies"]["blas"]["openblas configuration"],
            "LAPACK": lambda: library("lapack"),
            "SIMD always used": lambda: simd("baseline"),
            "SIMD found here": lambda: simd("found"),
            "SIMD not found": lambda: simd("not found"),
            "soundfile": _soundfile_version,
            "libsndfile": _libsndfile_version,
        },
    )


def _soundfile_version() -> str:
    import soundfile

    return soundfile.__version__


def _libsndfile_version() -> str:
    import soundfile

    return soundfile.__libsndfile_version__


# ---- measuring ------------------------------------------------------------------------------------------------------


@never_fails
def numpy_benchmark() -> RenderableType:
    """Measures matrix products, memory and an FFT for a few seconds, and says what that means for Bark."""
    speeds = torch_speeds()
    torch_rows = (
        (f"torch on {device}, {dtype} product", _square(device), UNKNOWN if speed is None else _shown(speed))
        for (device, dtype), speed in speeds.items()
    )
    shown = table("benchmark", ("what", "of", "result"), [*_numpy_rows(), *torch_rows], numbers=("result",))
    return Group(shown, Text(advice(speeds)))


def _numpy_rows() -> Iterator[tuple[str, str, str]]:
    import numpy as np

    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((_SIDE, _SIDE), dtype=np.float32)
    signal = rng.standard_normal(_FFT_NUMBERS)

    def product() -> str:
        return _shown(gigaflops(_SIDE, least_seconds(lambda: matrix @ matrix)))

    def copy() -> str:
        source, target = np.ones(_COPIED_BYTES, np.uint8), np.ones(_COPIED_BYTES, np.uint8)
        return f"{2 * _COPIED_BYTES / least_seconds(lambda: np.copyto(target, source)) / 1e9:,.1f} GB/s"

    def transform() -> str:
        return f"{least_seconds(lambda: np.fft.rfft(signal)) * 1000:,.1f} ms"

    yield "NumPy, float32 product", _square("cpu"), known(product)
    yield "NumPy, memory read and written", f"{_COPIED_BYTES // 2**20} MiB", known(copy)
    yield "NumPy, float64 FFT", f"{_FFT_NUMBERS:,} numbers", known(transform)


def torch_speeds() -> Mapping[tuple[str, str], float | None]:
    """GFLOP/s of torch's matrix product by (device, dtype), on the CPU and the device of `--device auto`; None: it fails."""
    import torch

    from ..model.devices import choose_device

    speeds: dict[tuple[str, str], float | None] = {}
    for device in dict.fromkeys(("cpu", choose_device("auto").type)):
        side = _side(device)
        for name in ("float32", "bfloat16"):
            try:
                matrix = torch.ones(side, side, dtype=getattr(torch, name), device=device)
                seconds = least_seconds(partial(_multiply, matrix))
                speeds[device, name] = gigaflops(side, seconds)
            except (RuntimeError, TypeError):  # no memory, or a type that the device does not have
                speeds[device, name] = None
    return speeds


def _multiply(matrix: torch.Tensor) -> float:
    """One element of the matrix's product with itself; reading it waits for the device."""
    return (matrix @ matrix)[0, 0].item()


def advice(speeds: Mapping[tuple[str, str], float | None]) -> str:
    """A sentence about the best --dtype on the device that Bark uses, the last one in `speeds`."""
    device, _ = list(speeds)[-1]
    plain, half = speeds[device, "float32"], speeds[device, "bfloat16"]
    if not plain or not half:
        return f"On {device} only one of both types works, so leave --dtype at auto."
    ratio = f"on {device} bfloat16 is {half / plain:.1f} times as fast as float32"
    if half < _WORTHWHILE * plain:
        mend = "--dtype float32 is right here"
    else:
        mend = "auto takes it" if device == "cuda" else "--dtype bfloat16 is worth a try"
    return f"Bark's speed follows torch's product: {ratio}, so {mend}."


def _side(device: str) -> int:
    return _SIDE if device == "cpu" else _GPU_SIDE


def _square(device: str) -> str:
    return f"{_side(device)} x {_side(device)}"


def _shown(speed: float) -> str:
    return f"{speed:,.0f} GFLOP/s"


def least_seconds(work: Callable[[], object]) -> float:
    """The seconds of the fastest of several repetitions; others are disturbed, and the first one is a warm-up."""
    least, end = float("inf"), time.perf_counter() + _BUDGET_S
    while True:
        start = time.perf_counter()
        work()
        now = time.perf_counter()
        least = min(least, now - start)
        if now >= end:
            return least


def gigaflops(side: int, seconds: float) -> float:
    """GFLOP/s of a product of square matrices: each element takes `side` multiplications and additions."""
    return 2 * side**3 / seconds / 1e9
