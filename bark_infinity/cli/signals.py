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
_REMIND_SECONDS = 0.3  # after which it is looked whether Stopped is still on its way
INTERRUPTED = "interrupted; what is finished is kept, and the same command goes on from there"


class Stopped(KeyboardInterrupt):
    """A signal came. `status` is the exit status that shells expect of it: 130 of Ctrl-C, 143 of SIGTERM."""

    def __init__(self, signal_number: int):
        super().__init__()
        self.status = 128 + signal_number


class StopRequest:
    """Whether a signal has come. `status`: the exit status that shells expect then, else None."""

    def __init__(self) -> None:
        self.status: int | None = None


_active: StopRequest | None = None


@contextmanager
def stopping() -> Iterator[StopRequest]:
    """Within it the first such signal raises Stopped, and the second ends the process.

    Stopped may get lost in foreign code: imports and callbacks of C libraries have handlers for every exception. It is
    raised again then, and whoever sees another exception or a normal end finds `status` set. Signals that the process was
    started to ignore (nohup, a job in the background) stay ignored. Within another such block this one does nothing.
    """
    global _active
    if _active is not None or threading.current_thread() is not threading.main_thread():  # others hear of no signals
        yield _active or StopRequest()
        return
    request = _active = StopRequest()
    before = {number: signal.getsignal(number) for number in _ASK_TO_STOP}
    heeded = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    can_remind = hasattr(signal, "setitimer")  # not on Windows
    if can_remind:
        before[signal.SIGALRM] = signal.getsignal(signal.SIGALRM)

    def stop(number: int, _: object) -> None:
        request.status = 128 + number
        for other in heeded:
            signal.signal(other, _stop_at_once)
        if can_remind:
            signal.signal(signal.SIGALRM, lambda *_: _raise_if_lost(number))
            signal.setitimer(signal.ITIMER_REAL, _REMIND_SECONDS, _REMIND_SECONDS)
        raise Stopped(number)

    for number in heeded:
        signal.signal(number, stop)
    try:
        yield request
    finally:
        if can_remind and request.status is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        _active = None


def _raise_if_lost(number: int) -> None:
    """Raise Stopped again unless one is being handled, that is, the program is tidying up."""
    error, seen = sys.exc_info()[1], set()
    while error is not None and id(error) not in seen:
        if isinstance(error, Stopped):
            return
        seen.add(id(error))
        error = error.__context__
    raise Stopped(number)


def _stop_at_once(number: int, _: object) -> None:
    if sys.stderr is not None and sys.stderr.isatty():
        os.write(sys.stderr.fileno(), _SHOW_CURSOR)
    os._exit(128 + number)
