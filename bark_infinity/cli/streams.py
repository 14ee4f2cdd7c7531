"""Standard input, output and error where one of them is closed or cannot be written to."""

from __future__ import annotations

import errno
import io
import os
import sys


class UnwritableOutput(io.TextIOBase):
    """Takes the place of a stdout that is closed or full: writing raises the reason, again and again.

    `lost` counts results whose paths could not be printed.
    """

    encoding = "utf-8"

    def __init__(self, reason: OSError):
        self.reason, self.lost = reason, 0

    def write(self, _: str) -> int:
        raise self.reason


def open_standard_streams() -> None:
    """Open what is closed of the three, so that no file of ours takes its number and gets what others write there.

    Nothing can be read from it, stderr takes all, stdout raises OSError. sys.stdin stays None.
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
