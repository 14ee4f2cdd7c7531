"""What asks the program to stop: Ctrl-C, SIGTERM, a terminal that is closed. Once: it tidies up; twice: at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_ASK_TO_STOP = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
_SHOW_CURSOR = b"\x1b[?25h\r\n"  # which a progress bar hides


class Stopped(KeyboardInterrupt):
    """A signal came. `status` is the exit status that shells expect of it: 130 of Ctrl-C, 143 of SIGTERM."""

    def __init__(self, signal_number: int):
        super().__init__()
        self.status = 128 + signal_number


@contextmanager
def stopping() -> Iterator[None]:
    """Within it the first such signal raises Stopped, and the second ends the process.

    Signals that the process was started to ignore (nohup, a job in the background) stay ignored.
    """
    if threading.current_thread() is not threading.main_thread():  # which alone hears of signals
        yield
        return
    before = {number: signal.getsignal(number) for number in _ASK_TO_STOP}
    heard = [number for number, handler in before.items() if handler is not signal.SIG_IGN]

    def stop(number: int, _) -> None:
        for other in heard:
            signal.signal(other, _stop_at_once)
        raise Stopped(number)

    for number in heard:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, before[number])


def _stop_at_once(number: int, _) -> None:
    if sys.stderr is not None and sys.stderr.isatty():
        os.write(sys.stderr.fileno(), _SHOW_CURSOR)
    os._exit(128 + number)
