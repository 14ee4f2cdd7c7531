"""What this machine has: devices, CUDA, the hub's cache, NumPy, and how fast it multiplies.

Each report is built as something that rich renders, so that a terminal, a web page or a test can show it. None raises:
what cannot be found out is unknown. torch and other slow libraries are imported when a report is built.
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
