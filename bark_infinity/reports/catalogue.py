"""All reports about this machine: devices, CUDA, the hub's cache, NumPy and a benchmark.

Each report is a function that returns a rich renderable and does not raise: what cannot be found out is shown as
unknown. torch and other slow libraries are imported when a report is built.
"""

from collections.abc import Callable, Mapping

from rich.console import RenderableType

from .arithmetic import numpy_benchmark, numpy_report
from .cuda import cuda_report
from .hardware import gpu_report
from .hub_cache import hub_cache_report

__all__ = ["REPORTS", "cuda_report", "gpu_report", "hub_cache_report", "numpy_benchmark", "numpy_report"]

REPORTS: Mapping[str, Callable[[], RenderableType]] = {  # by flag, in the order shown
    "detailed_gpu_report": gpu_report,
    "detailed_cuda_report": cuda_report,
    "detailed_hugging_face_cache_report": hub_cache_report,
    "detailed_numpy_report": numpy_report,
    "run_numpy_benchmark": numpy_benchmark,
}
