"""Memory and processor limits of a container or service manager, from Linux control groups, versions 1 and 2.

Limits of all parent groups count as well. `root`: the folder with `proc` and `sys`, which tests replace.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/")


def memory_limit(root: Path = _ROOT) -> tuple[float, float]:
    """Bytes that the process may use, and those of them that are free; infinite where there is no limit.

    The inactive file cache counts as free, because the kernel drops it when memory is needed.
    """
    total = free = math.inf
    for group in _groups("memory", root):
        for names in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.high", "memory.current", "inactive_file"),  # beyond it the kernel throttles the process
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            with contextlib.suppress(OSError, ValueError):  # no such file, or "max"
                limit, used = (int((group / name).read_text()) for name in names[:2])
                total = min(total, limit)
                free = min(free, max(0, limit - used + _statistic(group / "memory.stat", names[2])))
    return total, free


def processor_limit(root: Path = _ROOT) -> float:
    """Processors' worth of time that the process may use; infinite where there is no limit."""
    share = math.inf
    for group in _groups("cpu", root):
        with contextlib.suppress(OSError, ValueError):
            granted, period = (int(number) for number in (group / "cpu.max").read_text().split())
            share = min(share, granted / period)
        with contextlib.suppress(OSError, ValueError):
            granted, period = (int((group / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
            share = min(share, granted / period if granted > 0 else math.inf)
    return share


def _groups(controller: str, root: Path) -> Iterator[Path]:
    """The folders of the control groups that hold the process, its own first. They may lack the controller's files."""
    mounts = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:  # another system
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        for mount in (mounts / controllers, mounts / controller) if controllers else (mounts, mounts / "unified"):
            parts = [part for part in path.split("/") if part not in ("", "..")]  # "..": outside of our namespace
            for n in range(len(parts), -1, -1):
                yield mount.joinpath(*parts[:n])


def _statistic(path: Path, name: str) -> int:
    """A number of a memory.stat file; 0 where it is not there."""
    with contextlib.suppress(OSError, ValueError):
        for line in path.read_text().splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
    return 0
