"""Loads compiled loops, and runs them on all threads of torch's own pool.

A second pool would compete with torch's: a thread that has finished its part of a product keeps its core for a while,
waiting for the next one. So a loop is started through the OpenMP library that torch has loaded. Where torch has none that
can be called, as on Windows, threads of our own run it.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, ParamSpec

import torch

_P = ParamSpec("_P")

NARROW = 512  # channels; a model with fewer takes little time for any product

Loop = int
"""Address of a compiled function that takes a pointer; see loops.py."""


class Call(NamedTuple):
    """A compiled loop with its arguments, and the number of threads."""

    loop: Any
    tensors: Sequence[torch.Tensor]
    sizes: Sequence[int]
    n_threads: int


class CannotCompile(Exception):
    """Numba is not installed, or cannot compile for this processor."""


def load_loops() -> ModuleType:
    """The module `loops`. Raises CannotCompile."""
    try:
        return importlib.import_module(".loops", __package__)  # waits while another thread is importing it
    except Exception as error:  # Numba fails in many ways on systems that it does not know
        raise CannotCompile(str(error)) from error


@contextlib.contextmanager
def using_threads(n: int) -> Iterator[None]:
    """Torch has `n` threads for the length of a block; threads that use torch for the first time meanwhile also get `n`."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def with_present_threads(function: Callable[_P, None]) -> Callable[_P, None]:
    """The function, to be called with the number of threads that torch has now, also within `threads_for_steps`."""
    n = torch.get_num_threads()

    def call(*args: _P.args, **kwargs: _P.kwargs) -> None:
        with using_threads(n):
            function(*args, **kwargs)

    return call


def threads_for_steps(width: int) -> contextlib.AbstractContextManager[None]:
    """One thread for the steps of a narrow model: several would wait for each other longer than they work."""
    return using_threads(torch.get_num_threads() if width >= NARROW else 1)


def run_with(loop: Any, tensors: Sequence[torch.Tensor], sizes: Sequence[int], n_threads: int) -> None:
    """Run a compiled loop on `n_threads` threads with two counters, contiguous tensors and sizes as its arguments."""
    counters, arguments = _arguments(torch.zeros(2, dtype=torch.int64), tensors, sizes)
    run_on_all_threads(loop.address, arguments.data_ptr(), n_threads)


def _arguments(
    counters: torch.Tensor, tensors: Sequence[torch.Tensor], sizes: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The counters, and a loop's arguments: their address, those of the tensors, and the sizes."""
    return counters, torch.tensor([*(tensor.data_ptr() for tensor in (counters, *tensors)), *sizes])


class Program:
    """A list of compiled loops that run one after the other in a single call, on torch's threads: see `can_run_programs`."""

    def __init__(self, n_threads: int):
        self.loops, self.n_threads = load_loops(), n_threads
        self._tensors: list[torch.Tensor] = []  # whose addresses the arguments hold
        self._calls: list[int] = []
        self._arguments: torch.Tensor | None = None

    def add(self, call: Call) -> None:
        """Add a loop. Its tensors must be contiguous, and are read where they are now."""
        assert all(tensor.is_contiguous() for tensor in call.tensors)
        arguments = _arguments(torch.zeros(2, dtype=torch.int64), call.tensors, call.sizes)
        self._tensors += [*call.tensors, *arguments]
        self._calls += [call.loop.address, arguments[-1].data_ptr(), call.n_threads]

    def run(self) -> None:
        """Run all loops; return when the last one has returned."""
        if self._arguments is None:
            parallel = ctypes.cast(_openmp(), ctypes.c_void_p).value if self.n_threads > 1 else 0
            self._arguments = torch.tensor([parallel, len(self._calls) // 3, *self._calls])
        _function(self.loops.run_program.address)(self._arguments.data_ptr())


def can_run_programs() -> bool:
    """True where compiled code can start torch's own threads, or there is only one."""
    return torch.get_num_threads() == 1 or _openmp() is not None


def run_on_all_threads(loop: Loop, arguments: int, n_threads: int) -> None:
    """Call `loop` with the address `arguments` on each of torch's `n_threads` threads; return when all have returned."""
    if n_threads == 1:
        _function(loop)(arguments)
    elif (parallel := _openmp()) is not None:
        parallel(loop, arguments, n_threads, 0)
    else:
        _run_on_own_threads(_function(loop), arguments, n_threads)


def _run_on_own_threads(function: Callable[[int], None], arguments: int, n_threads: int) -> None:
    others = [_own_threads(n_threads - 1).submit(function, arguments) for _ in range(n_threads - 1)]
    function(arguments)
    for other in others:
        other.cancel()  # not begun yet, and nothing is left to do
    wait(others)


@functools.cache
def _function(loop: Loop) -> Callable[[int], None]:
    """A compiled function as one of Python, which releases the interpreter's lock while it runs."""
    return ctypes.CFUNCTYPE(None, ctypes.c_void_p)(loop)


@functools.cache
def _own_threads(n_threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n_threads, "loops")


@functools.cache
def _openmp() -> Any:
    """`GOMP_parallel` of the OpenMP library that torch runs on, which GCC's and LLVM's both have; None without it.

    Other packages bring copies of their own, so it is looked up in torch's library, which is linked to the right one.
    """
    for path in (Path(torch.__file__).parent / "lib").glob("*torch_cpu.*"):
        try:
            parallel = ctypes.CDLL(str(path)).GOMP_parallel  # the loaded library itself, not another copy
        except (OSError, AttributeError):
            continue
        parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
        parallel.restype = None
        return parallel
    return None
