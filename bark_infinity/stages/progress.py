"""How a stage reports its progress to the caller, and learns that a row is not needed any more."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Called while a stage works: (tokens generated so far, most tokens that can still come out), summed over the batch."""

Wanted = Callable[[], bool]
"""Asked between steps: whether a row's tokens are still wanted. Once it is false, it stays so, and the row leaves its batch."""


def always_wanted() -> bool:
    """The default: every row is generated to its end."""
    return True


def no_progress(done: int, total: int) -> None:
    """The default: progress is ignored."""
