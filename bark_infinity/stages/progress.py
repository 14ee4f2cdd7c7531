"""How a stage reports its progress to the caller."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Called while a stage works: (tokens generated so far, most tokens that can still come out), summed over the batch."""


def no_progress(done: int, total: int) -> None:
    """The default: progress is ignored."""
