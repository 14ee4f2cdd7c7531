"""Tensors that lie in a mapped file: once they are copied elsewhere, the memory that reading them took is given back."""

from __future__ import annotations

import ctypes
import functools
import math
import mmap
from bisect import bisect_right
from collections.abc import Callable

import torch

_MADV_DONTNEED = 4  # on Linux: the pages leave this process, and are read from the file again if they are asked for


class MappedFiles:
    """The files that are mapped into this process now; for tensors that are there already. None but on Linux."""

    def __init__(self):
        self._ranges = _file_ranges()

    def moved(self, tensor: torch.Tensor, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
        """The tensor on a device, in a type; itself where it is both already, else the file's pages are given back."""
        other = tensor.to(device=device, dtype=dtype)
        if other is not tensor:
            self.release(tensor)
        return other

    def release(self, tensor: torch.Tensor) -> None:
        """Give back the whole pages under a tensor that nobody has written to; one that lies in no file stays."""
        start, stop = tensor.data_ptr(), tensor.data_ptr() + tensor.nbytes
        at = bisect_right(self._ranges, (start, math.inf)) - 1
        if at < 0 or not self._ranges[at][0] <= start <= stop <= self._ranges[at][1]:
            return
        start, stop = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE, stop // mmap.PAGESIZE * mmap.PAGESIZE
        if start < stop:
            _madvise()(start, stop - start, _MADV_DONTNEED)  # a failure would cost memory and nothing else


def _file_ranges() -> list[tuple[int, int]]:
    """Addresses (first, behind the last) where files are mapped, in order. Devices are none: they may be plain memory."""
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as lines:
            fields = [line.split(maxsplit=5) for line in lines]  # range, rights, offset, device, inode, path
    except OSError:
        return []
    paths = ((field[0].split("-"), field[5]) for field in fields if len(field) == 6)
    files = (place for place, path in paths if path.startswith("/") and not path.startswith("/dev/"))
    return sorted((int(first, 16), int(behind, 16)) for first, behind in files)


@functools.cache
def _madvise() -> Callable[[int, int, int], int]:
    """The system's `madvise`, of address, bytes and advice."""
    call = ctypes.CDLL(None).madvise
    call.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return call
