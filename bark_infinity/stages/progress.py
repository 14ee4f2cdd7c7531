"""Bark's three token stages: a batch of rows in, tokens out. Rows may differ in length, voice and randomness."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Called while a stage works: (tokens made so far, most tokens that can still come out), summed over the batch."""


def no_progress(done: int, total: int) -> None:
    """For callers who do not watch."""
