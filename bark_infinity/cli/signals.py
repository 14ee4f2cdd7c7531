"""Stopping on Ctrl-C, SIGTERM or a closed terminal: the first signal lets the program tidy up, the second kills it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_ASK_TO_STOP = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
_SHOW_CURSOR = b"\x1b[?25h\r\n"  # a progress bar hides it
_REMIND_SECONDS = 0.3  # interval of checks whether foreign code has swallowed Stopped
INTERRUPTED = "interrupted; what is finished is kept, and the same command goes on from there"


class Stopped(KeyboardInterrupt):
    """Raised by a signal. `status`: the exit status that shells expect, 130 for Ctrl-C, 143 for SIGTERM."""

    def __init__(self, signal_number: int):
        super().__init__()
        self.status = 128 + signal_number


class StopRequest:
    """Whether a signal has come. `status`: the exit status that shells expect after it; None without a signal.

    `held`: True while no exception may be raised.
    """

    def __init__(self) -> None:
        self.status: int | None = None
        self.held = False


_active: StopRequest | None = None


@contextmanager
def stopping() -> Iterator[StopRequest]:
    """A context in which the first signal raises Stopped, and the second ends the process.

    Foreign code may swallow Stopped: imports and callbacks of C libraries catch every exception. It is then raised again,
    and after another exception or a normal end the request's `status` is still set. Signals that the process was started
    to ignore (nohup, a background job) stay ignored. A nested context does nothing.
    """
    global _active
    if (
        _active is not None or threading.current_thread() is not threading.main_thread()
    ):  # Python delivers signals to the main thread only
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
            signal.signal(signal.SIGALRM, lambda *_: None if request.held else _raise_if_lost(number))
            signal.setitimer(signal.ITIMER_REAL, _REMIND_SECONDS, _REMIND_SECONDS)
        if not request.held:
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


def import_torch() -> None:
    """Import torch, and raise Stopped only afterwards: while torch's C++ starts, an exception would abort the process."""
    request = _active or StopRequest()
    request.held = True
    try:
        import torch  # noqa: F401
    finally:
        request.held = False
    if request.status is not None:
        raise Stopped(request.status - 128)


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
