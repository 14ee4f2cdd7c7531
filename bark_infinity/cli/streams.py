"""Replacements for standard streams that are closed or cannot be written to."""

from __future__ import annotations

import errno
import io
import os
import sys


class UnwritableOutput(io.TextIOBase):
    """Replaces a stdout that is closed or full: every `write` raises the reason.

    `lost`: the number of results whose paths could not be printed.
    """

    encoding = "utf-8"

    def __init__(self, reason: OSError):
        self.reason, self.lost = reason, 0

    def write(self, _: str) -> int:
        raise self.reason


def open_standard_streams() -> None:
    """Open those of file descriptors 0 to 2 that are closed, so that no other file gets their numbers and their output.

    A closed stdin is empty (sys.stdin stays None), a closed stderr drops everything, a closed stdout raises OSError.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
            os.set_inheritable(opened, True)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8", errors="replace")  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = UnwritableOutput(OSError(errno.EBADF, "it is closed"))
